import { binary } from './arithmetic';
import { capitalize } from './case';
import { escape, unescape } from './escape';
import { typeError, valueError } from './faults';
import { filter, type Filter } from './filterTypes';
import { canIterate, lengthOf, listOf } from './iterate';
import { parseFloatText } from './parseNumber';
import { fixedText, numberOf } from './numbers';
import { printf } from './printf';
import type { Runtime } from './runtime';
import { flag, integerArgument, optionalInteger, optionalText, textArgument } from './signature';
import { SPACE } from './space';
import { center, replace, splitLines, strip } from './strings';
import { textOf } from './text';
import {
  codePoints,
  Dict,
  Float,
  lengthOfText,
  Markup,
  stringOf,
  Tuple,
  Undefined,
  type Arguments,
  type Value,
} from './values';

/** Changes the text of a value; safe text stays safe. */
function changed(rt: Runtime, value: Value, change: (text: string) => string): Value {
  const text = textOf(rt, value);
  rt.allocate(text.length);
  const result = change(text);
  return value instanceof Markup ? new Markup(result) : result;
}

export const TEXT_FILTERS: readonly (readonly [string, Filter])[] = [
  filter('upper', '', (rt, value) => changed(rt, value, (text) => text.toUpperCase())),
  filter('lower', '', (rt, value) => changed(rt, value, (text) => text.toLowerCase())),
  filter('capitalize', '', (rt, value) => changed(rt, value, capitalize)),
  filter('title', '', (rt, value) => textOf(rt, value).split(WORD_START).map(titleWord).join('')),
  filter('trim', 'chars?', (rt, value, [chars]) =>
    changed(rt, value, (text) => strip(text, optionalText(chars, 'chars'))),
  ),
  filter('string', '', (rt, value) => (stringOf(value) === undefined ? textOf(rt, value) : value)),
  filter('safe', '', (rt, value) => new Markup(textOf(rt, value))),
  filter('e', '', escape),
  filter('escape', '', escape),
  filter('forceescape', '', (rt, value) => escape(rt, textOf(rt, value))),
  filter('striptags', '', (rt, value) => stripTags(rt, textOf(rt, value))),
  filter('center', 'width?', (rt, value, [width = 80]) =>
    changed(rt, value, (text) => center(rt, text, integerArgument(width, 'width'))),
  ),
  filter('replace', 'old new count?', (rt, value, [old, by, count]) =>
    replace(
      rt,
      textOf(rt, value),
      [textOf(rt, old!), textOf(rt, by!)],
      optionalInteger(count, 'count') ?? -1,
    ),
  ),
  filter('indent', 'width? first? blank?', (rt, value, [width = 4, first, blank]) =>
    indent(rt, value, { margin: marginOf(rt, width), first: flag(first), blank: flag(blank) }),
  ),
  filter('truncate', 'length? killwords? end? leeway?', truncate),
  filter(
    'wordcount',
    '',
    (rt, value) => textOf(rt, value).match(/[\p{L}\p{N}_\p{Pc}]+/gu)?.length ?? 0,
  ),
  filter('urlencode', '', urlEncode),
  filter('xmlattr', 'autospace?', (rt, value, [autospace]) =>
    xmlAttributes(rt, value, flag(autospace, true)),
  ),
  filter('filesizeformat', 'binary?', (rt, value, [base]) => fileSize(rt, value, flag(base))),
  ['format', format],
];

function format(rt: Runtime, { positional: [value, ...rest], named }: Arguments): Value {
  if (rest.length > 0 && named.size > 0)
    throw typeError("can't handle positional and keyword arguments at the same time");
  const values = named.size > 0 ? Dict.of(named) : new Tuple(rest);
  if (value instanceof Markup) return binary(rt, '%', value, values);
  return printf(rt, textOf(rt, value ?? null), values);
}

const WORD_START = /([-\s({[<]+)/;

function titleWord(word: string): string {
  const [first = ''] = word;
  return first.toUpperCase() + word.slice(first.length).toLowerCase();
}

function stripTags(rt: Runtime, text: string): string {
  rt.allocate(text.length);
  let rest = text;
  for (const [open, close] of [
    ['<!--', '-->'],
    ['<', '>'],
  ] as const)
    rest = without(rest, open, close);
  return unescape(
    rest
      .split(new RegExp(`[${SPACE}]+`))
      .filter((word) => word !== '')
      .join(' '),
  );
}

/** The text without what stands from an opening to the next closing. */
function without(text: string, open: string, close: string): string {
  let result = '';
  let from = 0;
  for (;;) {
    const start = text.indexOf(open, from);
    const end = start < 0 ? -1 : text.indexOf(close, start);
    if (end < 0) return result + text.slice(from);
    result += text.slice(from, start);
    from = end + close.length;
  }
}

function marginOf(rt: Runtime, width: Value): string {
  const text = stringOf(width);
  if (text !== undefined) return text;
  const count = Math.max(0, integerArgument(width, 'width'));
  rt.allocate(count);
  return ' '.repeat(count);
}

interface Indentation {
  readonly margin: string;
  readonly first: boolean;
  readonly blank: boolean;
}

function indent(rt: Runtime, value: Value, { margin, first, blank }: Indentation): Value {
  if (value instanceof Undefined) value.fail();
  const lines = splitLines(`${textArgument(value, 's')}\n`);
  rt.allocate(textArgument(value, 's').length + lines.length * margin.length);
  const [head = '', ...rest] = lines;
  const body = rest.map((line) => `\n${blank || line !== '' ? margin : ''}${line}`).join('');
  const result = (first ? margin : '') + head + body;
  return value instanceof Markup ? new Markup(result) : result;
}

function truncate(rt: Runtime, value: Value, args: readonly (Value | undefined)[]): Value {
  const [length = 255, killwords, end = '...', leeway] = args;
  const ending = textArgument(end, 'end');
  const most = integerArgument(length, 'length');
  const room = most - lengthOfText(ending);
  const tolerance = optionalInteger(leeway, 'leeway') ?? 5;
  if (room < 0 || tolerance < 0)
    throw valueError(`expected length >= ${lengthOfText(ending)}, got ${most}`);
  if (lengthOf(rt, value) <= most + tolerance) return value;
  const text = textArgument(value, 's');
  rt.allocate(text.length);
  const characters = codePoints(text);
  const head = characters.slice(0, room).join('');
  if (flag(killwords)) return head + ending;
  const space = head.lastIndexOf(' ');
  return (space < 0 ? head : head.slice(0, space)) + ending;
}

function urlEncode(rt: Runtime, value: Value): Value {
  const pairs = pairsOf(rt, value);
  if (!pairs) return quoteUrl(textOf(rt, value), '/');
  return pairs
    .map((pair) =>
      pair.map((part) => quoteUrl(textOf(rt, part), '').replaceAll('%20', '+')).join('='),
    )
    .join('&');
}

function pairsOf(rt: Runtime, value: Value): readonly (readonly Value[])[] | undefined {
  if (value instanceof Dict) return Array.from(value.entries());
  if (stringOf(value) !== undefined || !canIterate(value)) return undefined;
  return listOf(rt, value).map((pair) => {
    const parts = listOf(rt, pair);
    if (parts.length !== 2) throw valueError(`2 values are to be unpacked, not ${parts.length}`);
    return parts;
  });
}

function quoteUrl(text: string, safe: string): string {
  const encoded = encodeURIComponent(text.replace(/[\ud800-\udfff]/gu, '\ufffd'));
  const all = encoded.replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return safe === '' ? all : all.replaceAll('%2F', '/');
}

function xmlAttributes(rt: Runtime, value: Value, autospace: boolean): Value {
  if (!(value instanceof Dict)) throw typeError('xmlattr takes a dictionary');
  const items: string[] = [];
  for (const [key, item] of value.entries()) {
    if (item === null || item instanceof Undefined) continue;
    const name = textArgument(key, 'key');
    if (/[ \t\n\r\f\v/>=]/.test(name))
      throw valueError(`Invalid character in attribute name: ${name}`);
    items.push(`${escape(rt, key).text}="${escape(rt, item).text}"`);
  }
  const text = items.join(' ');
  return autospace && text !== '' ? ` ${text}` : text;
}

function fileSize(rt: Runtime, value: Value, binaryUnits: boolean): string {
  if (value instanceof Undefined) value.fail();
  const number = numberOf(value) ?? parseFloatText(textOf(rt, value));
  const bytes = number instanceof Float ? number.value : Number(number);
  if (number === undefined) throw valueError('could not convert to float');
  const base = binaryUnits ? 1024 : 1000;
  if (bytes === 1) return '1 Byte';
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`;
  const prefixes = binaryUnits
    ? ['KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB', 'ZiB', 'YiB']
    : ['kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB'];
  const power = prefixes.findIndex((_, i) => bytes < base ** (i + 2));
  const i = power < 0 ? prefixes.length - 1 : power;
  return `${fixedText((base * bytes) / base ** (i + 2), 1)} ${prefixes[i]!}`;
}
