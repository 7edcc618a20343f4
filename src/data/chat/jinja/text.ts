import { floatText } from './numbers';
import type { Runtime } from './runtime';
import {
  Callable,
  Dict,
  Float,
  isList,
  Markup,
  TemplateObject,
  Tuple,
  Undefined,
  type Value,
} from './values';
import { typeError } from './faults';

/** Python's str(). */
export function textOf(rt: Runtime, value: Value): string {
  if (typeof value === 'string') return value;
  if (value instanceof Markup) return value.text;
  return value instanceof Undefined ? '' : reprOf(rt, value);
}

/** Python's repr(). */
export function reprOf(rt: Runtime, value: Value): string {
  rt.step();
  switch (typeof value) {
    case 'string':
      return counted(rt, reprOfString(value));
    case 'boolean':
      return value ? 'True' : 'False';
    case 'number':
    case 'bigint':
      return String(value);
    default:
      return value === null ? 'None' : reprOfObject(rt, value);
  }
}

function reprOfObject(
  rt: Runtime,
  value: Exclude<Value, null | string | boolean | number | bigint>,
): string {
  if (value instanceof Float) return floatText(value.value);
  if (value instanceof Markup) return `Markup(${reprOfString(value.text)})`;
  if (value instanceof Undefined) return 'Undefined';
  if (value instanceof Tuple) {
    const items = reprs(rt, value.items);
    return counted(rt, value.items.length === 1 ? `(${items},)` : `(${items})`);
  }
  if (isList(value)) return counted(rt, `[${reprs(rt, value)}]`);
  if (value instanceof Dict) {
    const pairs = Array.from(
      value.entries(),
      ([key, item]) => `${reprOf(rt, key)}: ${reprOf(rt, item)}`,
    );
    return counted(rt, `{${pairs.join(', ')}}`);
  }
  if (value instanceof TemplateObject) return value.text(rt);
  if (value instanceof Callable)
    throw typeError(`${value.name} is a function; its text is not always the same`);
  throw typeError('this value has no text');
}

/** The reprs of these values with commas between them. */
export function reprs(rt: Runtime, values: readonly Value[]): string {
  return values.map((value) => reprOf(rt, value)).join(', ');
}

function counted(rt: Runtime, text: string): string {
  rt.allocate(text.length);
  return text;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};
const UNPRINTABLE = /(?! )[\\\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}]/gu;

export function reprOfString(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(UNPRINTABLE, (char) => ESCAPES[char] ?? hexEscape(char));
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

function hexEscape(char: string): string {
  const code = char.codePointAt(0)!;
  const hex = code.toString(16);
  if (code < 0x100) return `\\x${hex.padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}
