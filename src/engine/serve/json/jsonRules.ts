import { charClass, isMark, literal, rule, type GrammarSymbol, type Rule } from './grammar';

const optional = (...symbols: readonly GrammarSymbol[]): Rule => rule(symbols, []);

/** At most so many of a symbol, at least `least`. */
export function repeated(symbol: GrammarSymbol, least: number, most: number): Rule {
  let rest = rule([]);
  for (let i = most; i > least; i--) rest = rule([symbol, rest], []);
  const needed = new Array<GrammarSymbol>(least).fill(symbol);
  return rule([...needed, rest]);
}

/** Any number of a symbol. */
export function many(symbol: GrammarSymbol): Rule {
  const own = rule();
  own.alternatives = [[symbol, own], []];
  return own;
}

const MOST_INDENT = 40;
/** White space between tokens of JSON: none, a space, or a new line with its indentation. */
export const space = rule([], literal(' '), [
  ...literal('\n'),
  repeated(literal(' ')[0]!, 0, MOST_INDENT),
]);

const digit = charClass((char) => char >= '0' && char <= '9');
const digits = rule([digit, repeated(digit, 0, 15)]);
const sign = optional(...literal('-'));
const whole = rule(literal('0'), [
  charClass((char) => char >= '1' && char <= '9'),
  repeated(digit, 0, 15),
]);
const exponent = optional(
  charClass((char) => char === 'e' || char === 'E'),
  rule(literal('+'), literal('-'), []),
  repeated(digit, 1, 3),
);

export const integer = rule([sign, whole]);
export const number = rule([sign, whole, optional(...literal('.'), digits), exponent]);
export const boolean = rule(literal('true'), literal('false'));
export const nothing = rule(literal('null'));

const plain = charClass((char) => char !== '"' && char !== '\\' && char >= ' ' && !isMark(char));
const hex = charClass((char) => /^[\da-fA-F]$/.test(char));
const escaped = charClass((char) => '"\\/bfnrt'.includes(char));
const quote = literal('"');
/** A character of a string. */
export const stringChar = rule(
  [plain],
  [...literal('\\'), escaped],
  [...literal('\\u'), hex, hex, hex, hex],
);
export const stringOf = (chars: Rule): Rule => rule([...quote, chars, ...quote]);
export const string = stringOf(many(stringChar));

/** `open item, item … close`, or `open close` if it may be empty. */
export function listOf(
  [open, close]: readonly [string, string],
  item: GrammarSymbol,
  { least, most }: { readonly least: number; readonly most: number | null },
): Rule {
  const next = rule([space, ...literal(','), space, item]);
  const rest =
    most === null
      ? rule([repeated(next, Math.max(0, least - 1), Math.max(0, least - 1)), many(next)])
      : repeated(next, Math.max(0, least - 1), most - 1);
  const filled = [...literal(open), space, item, rest, space, ...literal(close)];
  const empty = [...literal(open), space, ...literal(close)];
  if (most === 0) return rule(empty);
  return least === 0 ? rule(filled, empty) : rule(filled);
}

/** An object with any keys. */
export const mapOf = (value: GrammarSymbol): Rule =>
  listOf(['{', '}'], rule([string, space, ...literal(':'), space, value]), {
    least: 0,
    most: null,
  });

/** Any value, and any object. */
export const anyValue = rule();
export const anyObject = mapOf(anyValue);
anyValue.alternatives = [
  [anyObject],
  [listOf(['[', ']'], anyValue, { least: 0, most: null })],
  [string],
  [number],
  [boolean],
  [nothing],
];
