/** Scripts that rows are counted by. Languages that share one are not told apart. */
export const SCRIPTS = [
  'Latin',
  'Han',
  'Japanese',
  'Hangul',
  'Cyrillic',
  'Greek',
  'Arabic',
  'Hebrew',
  'Devanagari',
  'Bengali',
  'Tamil',
  'Telugu',
  'Thai',
  'Georgian',
  'Armenian',
  'Ethiopic',
  'other',
  'none',
] as const;
export type Script = (typeof SCRIPTS)[number];

/** What of a text is looked at, in UTF-16 code units. */
const SAMPLE = 2_000;

const PATTERNS: readonly (readonly [Script, RegExp])[] = [
  ['Latin', /\p{Script=Latin}/u],
  ['Japanese', /[\p{Script=Hiragana}\p{Script=Katakana}]/u],
  ['Han', /\p{Script=Han}/u],
  ['Hangul', /\p{Script=Hangul}/u],
  ['Cyrillic', /\p{Script=Cyrillic}/u],
  ['Greek', /\p{Script=Greek}/u],
  ['Arabic', /\p{Script=Arabic}/u],
  ['Hebrew', /\p{Script=Hebrew}/u],
  ['Devanagari', /\p{Script=Devanagari}/u],
  ['Bengali', /\p{Script=Bengali}/u],
  ['Tamil', /\p{Script=Tamil}/u],
  ['Telugu', /\p{Script=Telugu}/u],
  ['Thai', /\p{Script=Thai}/u],
  ['Georgian', /\p{Script=Georgian}/u],
  ['Armenian', /\p{Script=Armenian}/u],
  ['Ethiopic', /\p{Script=Ethiopic}/u],
];

/** Of each character that was seen; there are at most 160,000 letters. */
const known = new Map<string, Script>();

/**
 * The script of most letters of a text: its first 2,000 characters. Han beside kana is Japanese.
 * `none`: it has no letters.
 */
export function scriptOf(text: string): Script {
  const counts = new Map<Script, number>();
  for (const character of text.slice(0, SAMPLE)) {
    const script = scriptOfCharacter(character);
    if (script !== 'none') counts.set(script, (counts.get(script) ?? 0) + 1);
  }
  const kana = counts.get('Japanese') ?? 0;
  if (kana > 0) {
    counts.set('Japanese', kana + (counts.get('Han') ?? 0));
    counts.delete('Han');
  }
  let [most, largest]: [Script, number] = ['none', 0];
  for (const [script, count] of counts) if (count > largest) [most, largest] = [script, count];
  return most;
}

function scriptOfCharacter(character: string): Script {
  const script = known.get(character);
  if (script !== undefined) return script;
  const found = PATTERNS.find(([, pattern]) => pattern.test(character))?.[0];
  const own = found ?? (/\p{L}/u.test(character) ? 'other' : 'none');
  known.set(character, own);
  return own;
}
