/**
 * Makes untrusted text (names, keys, metadata, rows of files) harmless where it is shown. What
 * cannot be shown is written as its escape, so that nothing disappears.
 */

/**
 * Control characters (terminals interpret them), line separators, and invisible characters:
 * bidirectional controls, which reorder the text after them, zero-width spaces, tags and fillers.
 */
const UNSEEN = '[\\p{Cc}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\ufff9-\\ufffb]';

const RIGHT_TO_LEFT = '[\\p{sc=Arab}\\p{sc=Hebr}\\p{sc=Syrc}\\p{sc=Thaa}\\p{sc=Nkoo}]';
/** Letters of scripts without joiners. */
const UNJOINED = '[\\p{sc=Latn}\\p{sc=Grek}\\p{sc=Cyrl}\\p{sc=Hani}\\p{sc=Hira}\\p{sc=Kana}]';

/** The same characters where languages and emoji need them, and where they do no more than that. */
const NEEDED = [
  // Persian and the scripts of India join and part letters with them
  `(?<=(?!${UNJOINED})[\\p{L}\\p{M}])[\\u200c\\u200d]`,
  '(?<=[\\p{Extended_Pictographic}\\p{Emoji_Modifier}\\ufe0f])\\u200d(?=\\p{Extended_Pictographic})',
  '(?<=\\p{Extended_Pictographic})[\\ufe0e\\ufe0f]',
  '(?<=[0-9#*])\\ufe0f(?=\\u20e3)',
  '(?<=\\p{sc=Hani})[\\ufe00-\\ufe0f\\u{e0100}-\\u{e01ef}]',
  '(?<=\\p{sc=Mong})[\\u180b-\\u180f]',
  // beside such a letter, marks of direction order nothing that the letter does not
  `(?<=${RIGHT_TO_LEFT}[\\p{P}\\p{S}\\p{Z}\\u200e\\u200f]{0,3})[\\u200e\\u200f\\u061c]`,
  `[\\u200e\\u200f\\u061c](?=[\\p{P}\\p{S}\\p{Z}\\u200e\\u200f]{0,3}${RIGHT_TO_LEFT})`,
].join('|');

const UNSEEN_IN_VAIN = new RegExp(`(?=${UNSEEN})(?!${NEEDED}).`, 'gsu');

/**
 * Writes control characters and invisible ones as escapes such as \u001b, those of JSON. Line feeds
 * and tabs stay.
 */
export const visibleControls = (text: string): string =>
  text
    .replace(/\r\n/g, '\n')
    .replace(UNSEEN_IN_VAIN, (character) =>
      character === '\n' || character === '\t' ? character : escaped(character),
    );

const escaped = (character: string): string =>
  Array.from(
    { length: character.length },
    (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`,
  ).join('');

/** The same in one line. */
export const oneLine = (text: string): string => visibleControls(text).replace(/[\n\t]+/g, ' ');

/**
 * The same with every line after the first indented, so that none can be taken for a line of
 * another message.
 */
export const indentedLines = (text: string, indent = '  '): string =>
  visibleControls(text).replace(/\n/g, `\n${indent}`);

/** One line of Markdown that shows the text as it is: no link, image, HTML, table cell or code. */
export const markdownText = (text: string): string =>
  oneLine(text)
    .replace(/[\\`*[\]<>|&~$]|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, '\\$&')
    .replace(/:\/\//g, ':\\//')
    .replace(/www\./gi, (www) => `${www.slice(0, -1)}\\.`);
