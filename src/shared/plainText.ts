/**
 * Makes text of strangers (names, keys, metadata, rows of files) harmless where it is shown. What
 * cannot be shown is written as its escape, so that nothing disappears.
 */

/**
 * Control characters (terminals act on them), separators of lines, and controls of the writing
 * direction, which reorder what follows.
 */
const UNSEEN = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** Writes control characters as escapes such as \u001b. Line feeds and tabs stay. */
export const visibleControls = (text: string): string =>
  text
    .replace(/\r\n/g, '\n')
    .replace(UNSEEN, (character) =>
      character === '\n' || character === '\t'
        ? character
        : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );

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
