import { TemplateFault, typeError, valueError } from './faults';
import { basePrefix, floatDigits, integerDigits } from './formatNumber';
import { numberOf } from './numbers';
import type { Runtime } from './runtime';
import { reprOf, reprOfString, textOf } from './text';
import {
  Float,
  lengthOfText,
  stringOf,
  typeName,
  Undefined,
  type Arguments,
  type Value,
} from './values';

/** How str.format looks into values: `{0.name}` and `{0[key]}`. */
export interface Access {
  attribute(object: Value, name: string): Value;
  item(object: Value, key: Value): Value;
}

/** Python's text.format(…). */
export function strFormat(rt: Runtime, text: string, args: Arguments, access: Access): string {
  return new Formatter(rt, args, access).format(text, 2);
}

class Formatter {
  /** The number of the next field without a name; null: fields have numbers of their own. */
  private automatic: number | null | undefined;

  constructor(
    private readonly rt: Runtime,
    private readonly args: Arguments,
    private readonly access: Access,
  ) {}

  format(text: string, depth: number): string {
    if (depth < 0) throw valueError('Max string recursion exceeded');
    let result = '';
    let i = 0;
    while (i < text.length) {
      const char = text[i]!;
      if (char !== '{' && char !== '}') {
        const end = nextBrace(text, i);
        result += text.slice(i, end);
        i = end;
      } else if (text[i + 1] === char) {
        result += char;
        i += 2;
      } else if (char === '}') throw valueError("Single '}' encountered in format string");
      else {
        const end = closingBrace(text, i);
        result += this.field(text.slice(i + 1, end), depth);
        i = end + 1;
      }
    }
    this.rt.allocate(result.length);
    return result;
  }

  private field(text: string, depth: number): string {
    const colon = colonOf(text);
    const [path, conversion] = splitConversion(colon < 0 ? text : text.slice(0, colon));
    const value = this.value(path);
    const spec = this.format(colon < 0 ? '' : text.slice(colon + 1), depth - 1);
    switch (conversion) {
      case undefined:
        return formatValue(this.rt, value, spec);
      case 's':
        return formatText(this.rt, textOf(this.rt, value), parseSpec(spec));
      case 'r':
      case 'a':
        return formatText(this.rt, reprOf(this.rt, value), parseSpec(spec));
      default:
        throw valueError(`Unknown conversion specifier ${conversion}`);
    }
  }

  private value(path: string): Value {
    const [first] = /^[^.[]*/.exec(path)!;
    let value = this.first(first);
    const rest = path.slice(first.length);
    for (const part of rest.match(/\.[^.[]*|\[[^\]]*\]|[\s\S]/g) ?? []) {
      if (part.startsWith('.')) value = this.access.attribute(value, part.slice(1));
      else if (part.endsWith(']')) value = this.access.item(value, keyOf(part.slice(1, -1)));
      else throw valueError("Only '.' or '[' may follow ']' in format field specifier");
    }
    return value;
  }

  private first(name: string): Value {
    if (name !== '' && !/^\d+$/.test(name)) {
      const value = this.args.named.get(name);
      if (value === undefined) throw new TemplateFault('KeyError', reprOfString(name));
      return value;
    }
    if (this.automatic !== undefined && (name === '') !== (this.automatic !== null))
      throw valueError('cannot mix automatic and manual field numbering');
    const place = name === '' ? (this.automatic ?? 0) : Number(name);
    this.automatic = name === '' ? place + 1 : null;
    const value = this.args.positional[place];
    if (value === undefined)
      throw new TemplateFault(
        'IndexError',
        `Replacement index ${place} out of range for positional args tuple`,
      );
    return value;
  }
}

function nextBrace(text: string, from: number): number {
  let end = from;
  while (end < text.length && text[end] !== '{' && text[end] !== '}') end++;
  return end;
}

/** The end of the field that starts here; fields may stand inside its format. */
function closingBrace(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    if (text[i] === '{') depth++;
    else if (text[i] === '}' && --depth === 0) return i;
  }
  throw valueError("Single '{' encountered in format string");
}

/** The colon before the format, which may stand after an index in brackets. */
function colonOf(text: string): number {
  let inIndex = false;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '[') inIndex = true;
    else if (text[i] === ']') inIndex = false;
    else if (text[i] === ':' && !inIndex) return i;
  }
  return -1;
}

function splitConversion(text: string): [string, string?] {
  const mark = text.lastIndexOf('!');
  return mark < 0 ? [text] : [text.slice(0, mark), text.slice(mark + 1)];
}

function keyOf(text: string): Value {
  return /^\d+$/.test(text) ? Number(text) : text;
}

interface Spec {
  readonly fill: string;
  readonly align: string;
  readonly sign: string;
  readonly alternate: boolean;
  readonly zero: boolean;
  readonly width: number;
  readonly grouping: string;
  readonly precision: number | undefined;
  readonly type: string;
}

const SPEC = /^(?:([\s\S])?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;

function parseSpec(spec: string): Spec {
  const match = SPEC.exec(spec);
  if (!match) throw valueError(`Invalid format specifier '${spec}'`);
  const [, fill, align, sign, , alternate, zero, width, grouping, precision, type] = match;
  return {
    fill: fill ?? (zero === undefined ? ' ' : '0'),
    align: align ?? '',
    sign: sign ?? '',
    alternate: alternate !== undefined,
    zero: zero !== undefined,
    width: Number(width ?? 0),
    grouping: grouping ?? '',
    precision: precision === undefined ? undefined : Number(precision),
    type: type ?? '',
  };
}

/** Python's format(value, spec). */
export function formatValue(rt: Runtime, value: Value, text: string): string {
  const string = stringOf(value);
  if (text === '') return textOf(rt, value);
  const spec = parseSpec(text);
  if (string !== undefined) return formatText(rt, string, spec);
  if (value instanceof Undefined)
    throw typeError('unsupported format string passed to Undefined.__format__');
  const number = numberOf(value);
  if (number === undefined)
    throw typeError(`unsupported format string passed to ${typeName(value)}.__format__`);
  rt.allocate(Math.max(spec.width, Math.min(spec.precision ?? 0, 1000)));
  if (spec.type === 'c') return align(String.fromCodePoint(Number(number)), '', spec, '<');
  const plain = number instanceof Float ? number.value : number;
  const negative = plain < 0 || Object.is(plain, -0);
  const plus = spec.sign === '+' || spec.sign === ' ' ? spec.sign : '';
  const digits =
    number instanceof Float || 'eEfFgG%'.includes(spec.type || '?')
      ? floatDigits(Number(plain), spec)
      : wholeDigits(BigInt(plain), spec);
  return align(grouped(digits, spec), negative ? '-' : plus, spec, '>');
}

function wholeDigits(value: bigint, { type, alternate, precision }: Spec): string {
  if (precision !== undefined)
    throw valueError('Precision not allowed in integer format specifier');
  return (alternate ? basePrefix(type) : '') + integerDigits(value, type);
}

function grouped(digits: string, { grouping, type }: Spec): string {
  if (grouping === '') return digits;
  const size = ['x', 'X', 'o', 'b'].includes(type) ? 4 : 3;
  const [whole] = /^[0-9a-zA-Z]*/.exec(digits)!;
  const groups = whole.replace(new RegExp(`\\B(?=(?:.{${size}})+$)`, 'g'), grouping);
  return groups + digits.slice(whole.length);
}

function formatText(rt: Runtime, text: string, spec: Spec): string {
  if (spec.type !== '' && spec.type !== 's')
    throw valueError(`Unknown format code '${spec.type}' for object of type 'str'`);
  if (spec.align === '=' || spec.sign !== '' || spec.alternate)
    throw valueError(
      "'=' alignment, sign and alternate form are not allowed in string format specifier",
    );
  rt.allocate(spec.width);
  return align(Array.from(text).slice(0, spec.precision).join(''), '', spec, '<');
}

function align(text: string, sign: string, spec: Spec, otherwise: string): string {
  const missing = Math.max(0, spec.width - lengthOfText(text) - sign.length);
  const inside = otherwise === '>' && spec.zero ? '=' : otherwise;
  switch (spec.align === '' ? inside : spec.align) {
    case '<':
      return sign + text + spec.fill.repeat(missing);
    case '^':
      return `${spec.fill.repeat(missing >> 1)}${sign}${text}${spec.fill.repeat(missing - (missing >> 1))}`;
    case '=': {
      const [prefix] = /^(?:0[xXob])?/.exec(text)!;
      return sign + prefix + spec.fill.repeat(missing) + text.slice(prefix.length);
    }
    default:
      return spec.fill.repeat(missing) + sign + text;
  }
}
