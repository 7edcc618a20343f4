import { typeError } from './faults';
import { floatText, indexOf } from './numbers';
import { compare } from './compare';
import type { Runtime } from './runtime';
import { bind, flag } from './signature';
import {
  Dict,
  Float,
  isInteger,
  isList,
  stringOf,
  Tuple,
  typeName,
  type Arguments,
  type Value,
} from './values';

interface JsonStyle {
  readonly ascii: boolean;
  /** Null: all on one line. */
  readonly indent: string | null;
  readonly item: string;
  readonly key: string;
  readonly sorted: boolean;
}

/** The filter tojson as transformers defines it: Python's json.dumps, not escaped for HTML. */
export function toJson(rt: Runtime, args: Arguments): string {
  const [value, ascii, indent, separators, sorted] = bind(
    'tojson',
    'x ensure_ascii? indent? separators? sort_keys?',
    args,
  );
  const margin = indentOf(indent);
  const [item, key] = separatorsOf(separators) ?? [margin === null ? ', ' : ',', ': '];
  const style = { ascii: flag(ascii), indent: margin, item, key, sorted: flag(sorted) };
  return new JsonWriter(rt, style).write(value!, '\n');
}

function indentOf(indent: Value | undefined): string | null {
  if (indent === undefined || indent === null) return null;
  const count = indexOf(indent);
  return count === undefined
    ? (stringOf(indent) ?? null)
    : ' '.repeat(Math.min(1000, Math.max(0, count)));
}

function separatorsOf(value: Value | undefined): [string, string] | undefined {
  if (value === undefined || value === null) return undefined;
  const [item, key, ...more] = value instanceof Tuple ? value.items : (value as readonly Value[]);
  const texts = [stringOf(item), stringOf(key)];
  if (texts[0] === undefined || texts[1] === undefined || more.length > 0)
    throw typeError('separators must be a pair of texts');
  return [texts[0], texts[1]];
}

class JsonWriter {
  constructor(
    private readonly rt: Runtime,
    private readonly style: JsonStyle,
  ) {}

  /** @param margin A line break and the indentation of the value. */
  write(value: Value, margin: string): string {
    this.rt.step();
    const text = stringOf(value);
    if (text !== undefined) return this.counted(this.string(text));
    if (value instanceof Dict) return this.dict(value, margin);
    if (value instanceof Tuple) return this.list(value.items, margin);
    if (isList(value)) return this.list(value, margin);
    return scalar(value) ?? notSerializable(value);
  }

  private list(items: readonly Value[], margin: string): string {
    const inner = this.inner(margin);
    return this.enclosed(
      ['[', ']'],
      items.map((item) => this.write(item, inner)),
      margin,
    );
  }

  private dict(dict: Dict, margin: string): string {
    const inner = this.inner(margin);
    const entries = [...dict.entries()];
    if (this.style.sorted) entries.sort(([a], [b]) => compare(this.rt, a, b, '<'));
    const pairs = entries.map(
      ([key, value]) => this.string(keyText(key)) + this.style.key + this.write(value, inner),
    );
    return this.enclosed(['{', '}'], pairs, margin);
  }

  private inner(margin: string): string {
    return margin + (this.style.indent ?? '');
  }

  private enclosed(
    [open, close]: readonly [string, string],
    parts: readonly string[],
    margin: string,
  ): string {
    if (parts.length === 0) return open + close;
    const { indent, item } = this.style;
    if (indent === null) return this.counted(open + parts.join(item) + close);
    const inner = this.inner(margin);
    return this.counted(open + inner + parts.join(item + inner) + margin + close);
  }

  private string(text: string): string {
    const escaped = text.replace(
      ESCAPED,
      (char) => ESCAPES[char] ?? (char < ' ' ? unicodeEscape(char) : char),
    );
    return `"${this.style.ascii ? escaped.replace(/[^\p{ASCII}]/gu, unicodeEscapes) : escaped}"`;
  }

  private counted(text: string): string {
    this.rt.allocate(text.length);
    return text;
  }
}

const ESCAPED = /["\\\p{Cc}]/gu;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\f': '\\f',
  '\b': '\\b',
};

/** Characters beyond 16 bits are two escapes. */
function unicodeEscapes(char: string): string {
  return char.split('').map(unicodeEscape).join('');
}

function unicodeEscape(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function scalar(value: Value): string | undefined {
  if (value === null) return 'null';
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (isInteger(value)) return String(value);
  if (!(value instanceof Float)) return undefined;
  if (Number.isFinite(value.value)) return floatText(value.value);
  if (Number.isNaN(value.value)) return 'NaN';
  return value.value > 0 ? 'Infinity' : '-Infinity';
}

function keyText(key: Value): string {
  const text = stringOf(key) ?? scalar(key);
  if (text === undefined)
    throw typeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
  return text;
}

function notSerializable(value: Value): never {
  throw typeError(`Object of type ${typeName(value)} is not JSON serializable`);
}
