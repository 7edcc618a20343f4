import { Float } from '../../../shared/exactValues';
import { BudgetExceeded, TemplateFault, typeError } from './faults';
import type { Runtime } from './runtime';

export { Float };

/**
 * A value of a template. Integers are numbers, or bigints beyond 2^53; floats are Float. All values
 * are immutable, except the attributes of namespaces and the state of iterators.
 */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Float
  | Markup
  | readonly Value[]
  | Tuple
  | Dict
  | Undefined
  | Callable
  | TemplateObject;

/** Text that is marked as safe: what is joined with it is escaped. */
export class Markup {
  constructor(readonly text: string) {}
}

export class Tuple {
  constructor(
    readonly items: readonly Value[],
    /** Names of the items, where it has them (groupby). */
    readonly names: readonly string[] = [],
  ) {}
}

/** An undefined value: it prints as nothing, is false and empty, and fails in all other uses. */
export class Undefined {
  constructor(
    readonly message: string,
    readonly type: 'UndefinedError' | 'SecurityError' = 'UndefinedError',
  ) {}

  fail(): never {
    throw new TemplateFault(this.type, this.message);
  }
}

export interface Arguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

/** A function or method. */
export class Callable {
  constructor(
    readonly name: string,
    readonly call: (rt: Runtime, args: Arguments) => Value,
  ) {}
}

/** An object with behaviour of its own; what it does not define, it cannot do. */
export abstract class TemplateObject {
  abstract readonly typeName: string;

  /** Undefined: it has no such attribute. */
  attribute(name: string): Value | undefined;
  attribute(): undefined {
    return undefined;
  }

  /** @throws TemplateFault where the text of the object depends on chance. */
  text(rt: Runtime): string;
  text(): string {
    throw typeError(`a ${this.typeName} object has no text that is always the same`);
  }

  call?(rt: Runtime, args: Arguments): Value;
  iterate?(rt: Runtime): Iterator<Value>;
  equals?(rt: Runtime, other: TemplateObject): boolean;
  readonly length?: number;
  item?(index: number): Value | undefined;
  truth(): boolean {
    return this.length === undefined || this.length > 0;
  }
}

/** A dictionary, in order of insertion. */
export class Dict {
  private readonly entriesByKey = new Map<string, readonly [Value, Value]>();

  static of(entries: Iterable<readonly [Value, Value]>): Dict {
    const dict = new Dict();
    for (const [key, value] of entries) dict.add(key, value);
    return dict;
  }

  /** Only for a dictionary that is being made. A key that is there keeps its place. */
  add(key: Value, value: Value): void {
    const hash = hashOf(key);
    this.entriesByKey.set(hash, [this.entriesByKey.get(hash)?.[0] ?? key, value]);
  }

  get(key: Value): Value | undefined {
    return this.entriesByKey.get(hashOf(key))?.[1];
  }

  has(key: Value): boolean {
    return this.entriesByKey.has(hashOf(key));
  }

  get size(): number {
    return this.entriesByKey.size;
  }

  entries(): IterableIterator<readonly [Value, Value]> {
    return this.entriesByKey.values();
  }

  keys(): Value[] {
    return Array.from(this.entriesByKey.values(), ([key]) => key);
  }

  values(): Value[] {
    return Array.from(this.entriesByKey.values(), ([, value]) => value);
  }
}

const identities = new WeakMap<object, number>();
let objects = 0;

/**
 * A text that is the same for keys that Python takes for the same: 1, 1.0 and true, for example.
 *
 * @throws TemplateFault for lists and dictionaries.
 */
export function hashOf(key: Value): string {
  if (typeof key === 'string') return `s${key}`;
  if (key instanceof Markup) return `s${key.text}`;
  if (key === null) return 'none';
  if (key instanceof Undefined) return 'undefined';
  if (typeof key === 'object' && !(key instanceof Float)) return hashOfObject(key);
  return `n${key instanceof Float ? key.value + 0 : Number(key)}`;
}

/** Tuples may hold each other many times over, so each is looked at once. */
const tupleHashes = new WeakMap<Tuple, string>();
const LONGEST_HASH = 1_000_000;

function hashOfTuple(tuple: Tuple): string {
  const known = tupleHashes.get(tuple);
  if (known !== undefined) return known;
  const parts = tuple.items.map(hashOf);
  const hash = `t${parts.map((part) => `${part.length}:${part}`).join('')}`;
  if (hash.length > LONGEST_HASH) throw new BudgetExceeded('it uses too long a key');
  tupleHashes.set(tuple, hash);
  return hash;
}

function hashOfObject(key: object): string {
  if (key instanceof Tuple) return hashOfTuple(key);
  if (Array.isArray(key) || key instanceof Dict)
    throw typeError(`unhashable type: '${typeName(key as Value)}'`);
  const known = identities.get(key) ?? ++objects;
  identities.set(key, known);
  return `o${known}`;
}

/** The name of a value's Python type. */
export function typeName(value: Value): string {
  switch (typeof value) {
    case 'boolean':
      return 'bool';
    case 'number':
    case 'bigint':
      return 'int';
    case 'string':
      return 'str';
    default:
      return typeNameOfObject(value);
  }
}

function typeNameOfObject(value: Exclude<Value, boolean | number | bigint | string>): string {
  if (value === null) return 'NoneType';
  if (value instanceof Float) return 'float';
  if (value instanceof Markup) return 'Markup';
  if (value instanceof Tuple) return 'tuple';
  if (value instanceof Dict) return 'dict';
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Callable) return 'builtin_function_or_method';
  return value instanceof TemplateObject ? value.typeName : 'list';
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

/** The text of a str, marked as safe or not; undefined for other types. */
export function stringOf(value: Value | undefined): string | undefined {
  if (typeof value === 'string') return value;
  return value instanceof Markup ? value.text : undefined;
}

export function isInteger(value: Value): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

/** An integer in its one representation. */
export function integer(value: bigint): number | bigint {
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : value;
}

/** Python's bool(): empty texts and collections, zeros, none and undefined are false. */
export function truth(value: Value): boolean {
  if (typeof value === 'boolean') return value;
  if (value === null || value instanceof Undefined) return false;
  if (isInteger(value)) return Number(value) !== 0;
  const text = stringOf(value);
  if (text !== undefined) return text !== '';
  if (value instanceof Float) return value.value !== 0;
  if (value instanceof Dict) return value.size > 0;
  if (value instanceof Tuple) return value.items.length > 0;
  if (value instanceof TemplateObject) return value.truth();
  return isList(value) ? value.length > 0 : true;
}

/** Characters as Python counts them: code points. */
export function codePoints(text: string): readonly string[] {
  return isPlain(text) ? text.split('') : Array.from(text);
}

/** True where every UTF-16 unit is a character of its own. */
export function isPlain(text: string): boolean {
  return !/[\ud800-\udbff][\udc00-\udfff]/.test(text);
}

export function lengthOfText(text: string): number {
  return isPlain(text) ? text.length : codePoints(text).length;
}
