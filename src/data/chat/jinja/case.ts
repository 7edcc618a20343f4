/** Letters that have a form of their own at the start of a title. */
const TITLE: Readonly<Record<string, string>> = {
  Ǆ: 'ǅ',
  ǅ: 'ǅ',
  ǆ: 'ǅ',
  Ǉ: 'ǈ',
  ǈ: 'ǈ',
  ǉ: 'ǈ',
  Ǌ: 'ǋ',
  ǋ: 'ǋ',
  ǌ: 'ǋ',
  Ǳ: 'ǲ',
  ǲ: 'ǲ',
  ǳ: 'ǲ',
  ŉ: 'ʼN',
};

function titleCharacter(char: string): string {
  const [first = '', ...rest] = Array.from(char.toUpperCase());
  return TITLE[char] ?? first + rest.join('').toLowerCase();
}

/** The first character in title case, the others in lower case. */
export function capitalize(text: string): string {
  const [first = ''] = text;
  return first === '' ? '' : titleCharacter(first) + text.slice(first.length).toLowerCase();
}

/** Every run of cased letters starts in title case, as str.title() has it. */
export function title(text: string): string {
  return text.replace(
    /(\p{Cased})(\p{Cased}*)/gu,
    (_, first: string, rest: string) => titleCharacter(first) + restOfWord(rest),
  );
}

/** A sigma at the end of a word has a form of its own, which depends on what stands before it. */
function restOfWord(rest: string): string {
  return `a${rest}`.toLowerCase().slice(1);
}

export function swapcase(text: string): string {
  return Array.from(text, (char) =>
    /\p{Uppercase}/u.test(char) ? char.toLowerCase() : char.toUpperCase(),
  ).join('');
}

/** Lower case, with ß and final sigma folded as Unicode folds them. */
export function casefold(text: string): string {
  return text.toLowerCase().replaceAll('ß', 'ss').replaceAll('ς', 'σ');
}

/** True where there are cased letters, and none of the other case. */
export function isUpper(text: string): boolean {
  return /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text);
}

export function isLower(text: string): boolean {
  return /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text);
}

export function isTitle(text: string): boolean {
  return /\p{Cased}/u.test(text) && text === title(text);
}
