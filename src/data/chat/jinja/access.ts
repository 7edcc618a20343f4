import { TemplateFault, typeError } from './faults';
import { listOf } from './iterate';
import { equal } from './compare';
import { escape } from './escape';
import { indexOf } from './numbers';
import { DictView } from './objects';
import type { Runtime } from './runtime';
import { bind, optionalInteger } from './signature';
import { range } from './slices';
import { strFormat, type Access } from './strFormat';
import { callStringMethod, STRING_METHODS, UNSUPPORTED_STRING_METHODS } from './strings';
import { reprOf, reprOfString } from './text';
import {
  Callable,
  codePoints,
  Dict,
  Float,
  isInteger,
  isList,
  isPlain,
  Markup,
  stringOf,
  TemplateObject,
  Tuple,
  typeName,
  Undefined,
  type Arguments,
  type Value,
} from './values';

const DUNDER = /^__\w+__$/;
/** What even undefined values have. */
const OF_EVERY_OBJECT: readonly string[] = ['__class__', '__init__', '__doc__', '__module__'];

/** Methods that would change a list or a dictionary, which the sandbox does not let through. */
const MUTATING: Readonly<Record<string, readonly string[]>> = {
  list: ['append', 'clear', 'pop', 'reverse', 'insert', 'sort', 'extend', 'remove'],
  dict: ['clear', 'pop', 'popitem', 'setdefault', 'update'],
};

/** Python's `object.name` in the sandbox: the attribute, or else the item, or else undefined. */
export function getAttribute(rt: Runtime, object: Value, name: string): Value {
  rt.step();
  if (object instanceof Undefined && !OF_EVERY_OBJECT.includes(name)) object.fail();
  const attribute = attributeOf(object, name);
  const value = attribute === undefined ? itemOf(object, name) : attribute;
  return value === undefined ? missing(rt, object, name) : value;
}

/** Python's `object[key]` in the sandbox: the item, or else the attribute, or else undefined. */
export function getItem(rt: Runtime, object: Value, key: Value): Value {
  rt.step();
  if (object instanceof Undefined) object.fail();
  const item = itemOf(object, key);
  if (item !== undefined) return item;
  const name = stringOf(key);
  const attribute = name === undefined ? undefined : attributeOf(object, name);
  return attribute === undefined ? missing(rt, object, key) : attribute;
}

export const ACCESS: (rt: Runtime) => Access = (rt) => ({
  attribute: (object, name) => getAttribute(rt, object, name),
  item: (object, key) => getItem(rt, object, key),
});

function missing(rt: Runtime, object: Value, key: Value): Undefined {
  const type = object === null ? 'None' : `${typeName(object)} object`;
  const name = stringOf(key);
  return new Undefined(
    name === undefined
      ? `${type} has no element ${key instanceof Undefined ? 'Undefined' : reprOf(rt, key)}`
      : `'${type}' has no attribute ${reprOfString(name)}`,
  );
}

function itemOf(object: Value, key: Value): Value | undefined {
  if (object instanceof Dict) return isHashable(key) ? object.get(key) : undefined;
  const index = indexOf(key);
  if (index === undefined) return undefined;
  if (object instanceof TemplateObject) return object.item?.(index);
  const text = stringOf(object);
  if (text !== undefined) {
    const character = isPlain(text) ? at(text, index) : at(codePoints(text), index);
    return object instanceof Markup && character !== undefined ? new Markup(character) : character;
  }
  if (object instanceof Tuple) return at(object.items, index);
  return isList(object) ? at(object, index) : undefined;
}

function at<T>(
  items: { readonly length: number; readonly [i: number]: T },
  index: number,
): T | undefined {
  return items[index < 0 ? index + items.length : index];
}

function isHashable(key: Value): boolean {
  if (key instanceof Tuple) return key.items.every(isHashable);
  return !isList(key) && !(key instanceof Dict);
}

/** Attributes that every Python object has start and end with two underscores: none is let out. */
function attributeOf(object: Value, name: string): Value | undefined {
  const type = typeName(object);
  if (DUNDER.test(name) || MUTATING[type]?.includes(name)) return unsafe(type, name);
  const text = stringOf(object);
  if (text !== undefined) return stringAttribute(object, text, name);
  if (object instanceof TemplateObject)
    return name.startsWith('_') ? undefined : object.attribute(name);
  if (object instanceof Dict) return dictAttribute(object, name);
  if (object instanceof Tuple) {
    const place = object.names.indexOf(name);
    return place >= 0 ? object.items[place] : sequenceAttribute(object.items, name);
  }
  if (isList(object))
    return name === 'copy' ? method(name, '', () => object) : sequenceAttribute(object, name);
  return numberAttribute(object, name);
}

function unsafe(type: string, name: string): Undefined {
  return new Undefined(
    `access to attribute ${reprOfString(name)} of '${type}' object is unsafe.`,
    'SecurityError',
  );
}

function method(
  name: string,
  signature: string,
  run: (rt: Runtime, args: readonly (Value | undefined)[]) => Value,
): Callable {
  return new Callable(name, (rt, args) => run(rt, bind(name, signature, args)));
}

function stringAttribute(object: Value, text: string, name: string): Value | undefined {
  if (object instanceof Markup) return markupAttribute(text, name);
  if (Object.hasOwn(STRING_METHODS, name))
    return new Callable(name, (rt, args) => callStringMethod(rt, name, text, args));
  return formatMethod(text, name) ?? unsupported(name);
}

function formatMethod(text: string, name: string): Callable | undefined {
  if (name === 'format')
    return new Callable(name, (rt, args) => strFormat(rt, text, args, ACCESS(rt)));
  if (name !== 'format_map') return undefined;
  return method(name, 'mapping', (rt, [mapping]) =>
    strFormat(rt, text, { positional: [], named: namesOf(mapping!) }, ACCESS(rt)),
  );
}

function unsupported(name: string): Callable | undefined {
  if (!UNSUPPORTED_STRING_METHODS.includes(name)) return undefined;
  return new Callable(name, () => {
    throw typeError(`the method ${name} of str is not supported`);
  });
}

/** The entries of a dictionary whose keys are text, for keyword arguments. */
export function namesOf(value: Value): Map<string, Value> {
  if (value instanceof Undefined) value.fail();
  if (!(value instanceof Dict))
    throw typeError(`argument after ** must be a mapping, not ${typeName(value)}`);
  const names = new Map<string, Value>();
  for (const [key, item] of value.entries()) {
    const name = stringOf(key);
    if (name === undefined) throw typeError('keywords must be strings');
    names.set(name, item);
  }
  return names;
}

/** Methods of safe text that escape what they are given. */
const ESCAPING = [
  'replace',
  'strip',
  'lstrip',
  'rstrip',
  'ljust',
  'rjust',
  'center',
  'removeprefix',
  'removesuffix',
];

/** The methods of safe text return safe text. */
function markupAttribute(text: string, name: string): Value | undefined {
  if (Object.hasOwn(STRING_METHODS, name))
    return new Callable(name, (rt, args) =>
      safeResult(callStringMethod(rt, name, text, safeArguments(rt, name, args))),
    );
  const format = formatMethod(text, name);
  if (!format) return unsupported(name);
  return new Callable(name, (rt, { positional, named }) => {
    const escaped = (value: Value) =>
      stringOf(value) === undefined ? value : escape(rt, value).text;
    const result = format.call(rt, {
      positional: positional.map(escaped),
      named: new Map(Array.from(named, ([key, value]) => [key, escaped(value)])),
    });
    return safeResult(result);
  });
}

function safeArguments(rt: Runtime, name: string, { positional, named }: Arguments): Arguments {
  if (name === 'join')
    return {
      positional: positional.map((items) => listOf(rt, items).map((item) => escape(rt, item).text)),
      named,
    };
  if (!ESCAPING.includes(name)) return { positional, named };
  return {
    positional: positional.map((value) =>
      stringOf(value) === undefined ? value : escape(rt, value).text,
    ),
    named,
  };
}

function safeResult(result: Value): Value {
  if (typeof result === 'string') return new Markup(result);
  if (result instanceof Tuple) return new Tuple(result.items.map(safeResult));
  return isList(result) ? result.map(safeResult) : result;
}

function dictAttribute(dict: Dict, name: string): Value | undefined {
  switch (name) {
    case 'get':
      return method(name, 'key default?', (_, [key, otherwise = null]) => {
        const value = dict.get(key!);
        return value === undefined ? otherwise : value;
      });
    case 'keys':
      return method(name, '', () => DictView.keys(dict));
    case 'values':
      return method(name, '', () => DictView.values(dict));
    case 'items':
      return method(name, '', () => DictView.items(dict));
    case 'copy':
      return method(name, '', () => dict);
    case 'fromkeys':
      return method(name, 'iterable value?', (rt, [keys, value]) => fromKeys(rt, keys!, value));
    default:
      return undefined;
  }
}

export function fromKeys(rt: Runtime, keys: Value, value: Value | undefined): Dict {
  return Dict.of(listOf(rt, keys).map((key) => [key, value ?? null]));
}

function sequenceAttribute(items: readonly Value[], name: string): Value | undefined {
  if (name === 'count')
    return method(
      name,
      'value',
      (rt, [value]) => items.filter((item) => equal(rt, item, value!)).length,
    );
  if (name !== 'index') return undefined;
  return method(name, 'value start? stop?', (rt, [value, start, stop]) => {
    const bounds = {
      start: optionalInteger(start, 'start'),
      stop: optionalInteger(stop, 'stop'),
      step: 1,
    };
    const [from, to] = range(items.length, bounds);
    const place = items.findIndex((item, i) => i >= from && i < to && equal(rt, item, value!));
    if (place < 0) throw new TemplateFault('ValueError', `${reprOf(rt, value!)} is not in list`);
    return place;
  });
}

function numberAttribute(value: Value, name: string): Value | undefined {
  if (value instanceof Float) {
    if (name === 'is_integer') return method(name, '', () => Number.isInteger(value.value));
    if (name === 'real') return value;
    return name === 'imag' ? new Float(0) : undefined;
  }
  if (!isInteger(value) && typeof value !== 'boolean') return undefined;
  if (name === 'real' || name === 'numerator')
    return typeof value === 'boolean' ? Number(value) : value;
  if (name === 'imag') return 0;
  if (name === 'denominator') return 1;
  if (name !== 'bit_length') return undefined;
  return method(name, '', () => bitLength(BigInt(value)));
}

function bitLength(value: bigint): number {
  const magnitude = value < 0n ? -value : value;
  return magnitude === 0n ? 0 : magnitude.toString(2).length;
}
