import { capitalize, casefold, isLower, isTitle, isUpper, swapcase, title } from './case';
import { typeError, valueError } from './faults';
import { listOf } from './iterate';
import type { Runtime } from './runtime';
import {
  bind,
  flag,
  integerArgument,
  optionalInteger,
  optionalText,
  textArgument,
} from './signature';
import { range } from './slices';
import { LINE_BREAKS, lstripSpace, rstripSpace, SPACE } from './space';
import {
  codePoints,
  isPlain,
  lengthOfText,
  stringOf,
  Tuple,
  typeName,
  type Arguments,
  type Value,
} from './values';

/** A method of str; the arguments follow its signature. */
interface StringMethod {
  readonly signature: string;
  readonly run: (rt: Runtime, text: string, args: readonly (Value | undefined)[]) => Value;
}

const map = (change: (text: string) => string): StringMethod => ({
  signature: '',
  run: (rt, text) => {
    rt.allocate(text.length);
    return change(text);
  },
});

const test = (pattern: RegExp, ifEmpty = false): StringMethod => ({
  signature: '',
  run: (rt, text) => {
    rt.scan(text.length);
    return text === '' ? ifEmpty : pattern.test(text);
  },
});

const stripped = (left: boolean, right: boolean): StringMethod => ({
  signature: 'chars?',
  run: (rt, text, [chars]) => {
    rt.allocate(text.length);
    return strip(text, optionalText(chars, 'chars'), left, right);
  },
});

/** Python's strip: white space, or any of these characters. */
export function strip(text: string, chars?: string, left = true, right = true): string {
  if (chars === undefined) {
    const start = left ? lstripSpace(text) : text;
    return right ? rstripSpace(start) : start;
  }
  const set = new Set(codePoints(chars));
  const characters = codePoints(text);
  let start = 0;
  let end = characters.length;
  while (left && start < end && set.has(characters[start]!)) start++;
  while (right && end > start && set.has(characters[end - 1]!)) end--;
  return characters.slice(start, end).join('');
}

const justified = (place: (missing: number) => number): StringMethod => ({
  signature: 'width fillchar?',
  run: (rt, text, [width, fill = ' ']) =>
    justify(rt, text, {
      width: integerArgument(width, 'width'),
      fill: textArgument(fill, 'fillchar'),
      place,
    }),
});

interface Justification {
  readonly width: number;
  readonly fill: string;
  /** How many of the missing characters stand on the left. */
  readonly place: (missing: number, width: number) => number;
}

function justify(rt: Runtime, text: string, { width, fill, place }: Justification): string {
  if (lengthOfText(fill) !== 1)
    throw typeError('The fill character must be exactly one character long');
  const missing = width - lengthOfText(text);
  if (missing <= 0) return text;
  rt.allocate(width);
  const left = place(missing, width);
  return fill.repeat(left) + text + fill.repeat(missing - left);
}

/** As str.center: where the two sides differ, the width decides which is longer. */
export function center(rt: Runtime, text: string, width: number, fill = ' '): string {
  const place = (missing: number) => (missing >> 1) + (missing & width & 1);
  return justify(rt, text, { width, fill, place });
}

const found = (last: boolean, orFail: boolean): StringMethod => ({
  signature: 'sub start? end?',
  run: (rt, text, [sub, start, end]) => {
    rt.scan(text.length);
    const part = textArgument(sub, 'sub');
    const [from, to] = window(text, start, end);
    const within = from <= to ? sliceCharacters(text, from, to) : null;
    const at = within === null ? -1 : place(within, part, last);
    if (at < 0 && orFail) throw valueError('substring not found');
    return at < 0 ? -1 : at + from;
  },
});

function place(text: string, part: string, last: boolean): number {
  const unit = last ? text.lastIndexOf(part) : text.indexOf(part);
  return unit < 0 ? -1 : lengthOfText(text.slice(0, unit));
}

function window(text: string, start: Value | undefined, end: Value | undefined): [number, number] {
  const length = lengthOfText(text);
  const from = optionalInteger(start, 'start');
  if (from !== undefined && from > length) return [from, length];
  return range(length, { start: from, stop: optionalInteger(end, 'end'), step: 1 });
}

function sliceCharacters(text: string, from: number, to: number): string {
  return isPlain(text) ? text.slice(from, to) : codePoints(text).slice(from, to).join('');
}

const edge = (name: string, at: (text: string, part: string) => boolean): StringMethod => ({
  signature: 'prefix start? end?',
  run: (rt, text, [prefix, start, end]) => {
    const [from, to] = window(text, start, end);
    const within = from <= to ? sliceCharacters(text, from, to) : null;
    const parts = prefix instanceof Tuple ? prefix.items : [prefix];
    return parts.some((part) => {
      rt.step();
      const own = stringOf(part);
      if (own === undefined)
        throw typeError(
          `${name} first arg must be str or a tuple of str, not ${typeName(part ?? null)}`,
        );
      return within !== null && at(within, own);
    });
  },
});

const splitting = (fromRight: boolean): StringMethod => ({
  signature: 'sep? maxsplit?',
  run: (rt, text, [sep, maxsplit]) => {
    rt.allocate(text.length);
    const most = optionalInteger(maxsplit, 'maxsplit') ?? -1;
    const separator = optionalText(sep, 'sep');
    if (separator === '') throw valueError('empty separator');
    const parts =
      separator === undefined
        ? splitSpace(text, most, fromRight)
        : splitAt(text, separator, most, fromRight);
    rt.allocateItems(parts.length);
    return parts;
  },
});

function splitAt(text: string, separator: string, most: number, fromRight: boolean): string[] {
  const parts = text.split(separator);
  const extra = most < 0 ? 0 : Math.max(0, parts.length - 1 - most);
  if (extra === 0) return parts;
  return fromRight
    ? [parts.slice(0, extra + 1).join(separator), ...parts.slice(extra + 1)]
    : [...parts.slice(0, most), parts.slice(most).join(separator)];
}

function splitSpace(text: string, most: number, fromRight: boolean): string[] {
  const words = Array.from(text.matchAll(new RegExp(`[^${SPACE}]+`, 'g')));
  if (most < 0 || words.length <= most + 1) {
    if (most !== 0 || words.length === 0) return words.map(([word]) => word);
  }
  if (fromRight) {
    const last = words.slice(words.length - most);
    const rest = rstripSpace(text.slice(0, last[0]?.index ?? text.length));
    return [rest, ...last.map(([word]) => word)];
  }
  const rest = text.slice(words[most]!.index);
  return [...words.slice(0, most).map(([word]) => word), rest];
}

const LINE_BREAK = new RegExp(`\\r\\n|[${LINE_BREAKS}]`, 'g');

/** Python's splitlines(), without the line breaks. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = [];
  let start = 0;
  for (const match of text.matchAll(LINE_BREAK)) {
    const end = match.index + match[0].length;
    lines.push(text.slice(start, keepEnds ? end : match.index));
    start = end;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}

const partitioned = (last: boolean): StringMethod => ({
  signature: 'sep',
  run: (rt, text, [sep]) => {
    rt.allocate(text.length);
    const separator = textArgument(sep, 'sep');
    if (separator === '') throw valueError('empty separator');
    const at = last ? text.lastIndexOf(separator) : text.indexOf(separator);
    if (at < 0) return new Tuple(last ? ['', '', text] : [text, '', '']);
    return new Tuple([text.slice(0, at), separator, text.slice(at + separator.length)]);
  },
});

/** Python's replace: the first `count` places, all where it is negative. */
export function replace(
  rt: Runtime,
  text: string,
  [old, by]: readonly [string, string],
  count: number,
): string {
  rt.scan(text.length);
  if (count < 0) {
    const places = old === '' ? lengthOfText(text) + 1 : text.split(old).length - 1;
    rt.allocate(text.length + places * Math.max(0, by.length - old.length));
    if (old !== '') return text.replaceAll(old, () => by);
    return by + Array.from(text, (char) => char + by).join('');
  }
  rt.allocate(text.length + count * Math.min(by.length, text.length * by.length));
  if (old === '') {
    const characters = codePoints(text);
    const head = characters.slice(0, Math.max(0, count - 1)).map((char) => by + char);
    const rest = characters.slice(head.length).join('');
    return head.join('') + (count > 0 ? by : '') + rest;
  }
  const parts = splitAt(text, old, count, false);
  return parts.join(by);
}

/** Python's join. */
export function join(rt: Runtime, separator: string, items: readonly string[]): string {
  const length = items.reduce((sum, item) => sum + item.length, separator.length * items.length);
  rt.allocate(length);
  rt.step(items.length);
  return items.join(separator);
}

function expandTabs(rt: Runtime, text: string, size: number): string {
  let column = 0;
  let result = '';
  for (const char of text) {
    if (char !== '\t') {
      result += char;
      column = char === '\n' || char === '\r' ? 0 : column + 1;
      continue;
    }
    const missing = size > 0 ? size - (column % size) : 0;
    rt.allocate(missing);
    result += ' '.repeat(missing);
    column += missing;
  }
  return result;
}

function zeroFill(rt: Runtime, text: string, width: number): string {
  const missing = width - lengthOfText(text);
  if (missing <= 0) return text;
  rt.allocate(width);
  const sign = /^[-+]/.exec(text)?.[0] ?? '';
  return sign + '0'.repeat(missing) + text.slice(sign.length);
}

function countOf(text: string, part: string): number {
  return part === '' ? lengthOfText(text) + 1 : text.split(part).length - 1;
}

const DIGIT = '\\p{Nd}²³¹⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒';
const NUMERIC = '\\p{N}零一二三四五六七八九十百千万億亿兆壹贰叁肆伍陆柒捌玖拾佰仟两廿卅';

export const STRING_METHODS: Readonly<Record<string, StringMethod>> = {
  lower: map((text) => text.toLowerCase()),
  upper: map((text) => text.toUpperCase()),
  title: map(title),
  capitalize: map(capitalize),
  swapcase: map(swapcase),
  casefold: map(casefold),
  strip: stripped(true, true),
  lstrip: stripped(true, false),
  rstrip: stripped(false, true),
  ljust: justified(() => 0),
  rjust: justified((missing) => missing),
  center: {
    signature: 'width fillchar?',
    run: (rt, text, [width, fill = ' ']) =>
      center(rt, text, integerArgument(width, 'width'), textArgument(fill, 'fillchar')),
  },
  zfill: {
    signature: 'width',
    run: (rt, text, [width]) => zeroFill(rt, text, integerArgument(width, 'width')),
  },
  expandtabs: {
    signature: 'tabsize?',
    run: (rt, text, [size = 8]) => expandTabs(rt, text, integerArgument(size, 'tabsize')),
  },
  find: found(false, false),
  rfind: found(true, false),
  index: found(false, true),
  rindex: found(true, true),
  count: {
    signature: 'sub start? end?',
    run: (rt, text, [sub, start, end]) => {
      rt.scan(text.length);
      const [from, to] = window(text, start, end);
      return from > to ? 0 : countOf(sliceCharacters(text, from, to), textArgument(sub, 'sub'));
    },
  },
  startswith: edge('startswith', (text, part) => text.startsWith(part)),
  endswith: edge('endswith', (text, part) => text.endsWith(part)),
  split: splitting(false),
  rsplit: splitting(true),
  splitlines: {
    signature: 'keepends?',
    run: (rt, text, [keepends]) => {
      const lines = splitLines(text, flag(keepends));
      rt.allocate(text.length);
      rt.allocateItems(lines.length);
      return lines;
    },
  },
  partition: partitioned(false),
  rpartition: partitioned(true),
  replace: {
    signature: 'old new count?',
    run: (rt, text, [old, by, count]) =>
      replace(
        rt,
        text,
        [textArgument(old, 'old'), textArgument(by, 'new')],
        optionalInteger(count, 'count') ?? -1,
      ),
  },
  removeprefix: {
    signature: 'prefix',
    run: (_, text, [prefix]) => {
      const part = textArgument(prefix, 'prefix');
      return text.startsWith(part) ? text.slice(part.length) : text;
    },
  },
  removesuffix: {
    signature: 'suffix',
    run: (_, text, [suffix]) => {
      const part = textArgument(suffix, 'suffix');
      return part !== '' && text.endsWith(part) ? text.slice(0, -part.length) : text;
    },
  },
  join: {
    signature: 'iterable',
    run: (rt, text, [iterable]) => {
      const items = listOf(rt, iterable!).map((item, i) => {
        const own = stringOf(item);
        if (own === undefined)
          throw typeError(`sequence item ${i}: expected str instance, ${typeName(item)} found`);
        return own;
      });
      return join(rt, text, items);
    },
  },
  isalpha: test(/^\p{L}+$/u),
  isdecimal: test(/^\p{Nd}+$/u),
  isdigit: test(new RegExp(`^[${DIGIT}]+$`, 'u')),
  isnumeric: test(new RegExp(`^[${NUMERIC}]+$`, 'u')),
  isalnum: test(new RegExp(`^[\\p{L}${NUMERIC}]+$`, 'u')),
  isspace: test(new RegExp(`^[${SPACE}]+$`)),
  isascii: test(/^\p{ASCII}+$/u, true),
  isidentifier: test(/^[\p{ID_Start}_]\p{ID_Continue}*$/u),
  isprintable: test(/^(?:[^\p{C}\p{Z}]| )+$/u, true),
  isupper: { signature: '', run: (_, text) => isUpper(text) },
  islower: { signature: '', run: (_, text) => isLower(text) },
  istitle: { signature: '', run: (_, text) => isTitle(text) },
};

/** Methods of Python's str that no text comes out of. */
export const UNSUPPORTED_STRING_METHODS: readonly string[] = ['encode', 'translate', 'maketrans'];

export function callStringMethod(rt: Runtime, name: string, text: string, args: Arguments): Value {
  const method = STRING_METHODS[name]!;
  return method.run(rt, text, bind(name, method.signature, args));
}
