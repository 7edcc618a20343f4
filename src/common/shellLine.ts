// A command that users copy into an unknown shell: on Unix sh, bash, zsh or fish, on Windows
// PowerShell or cmd.

/** No shell interprets these characters, anywhere in a word. */
const PLAIN = { unix: /^[\w+:,./-][\w+=:,./-]*$/, windows: /^[\w=:.\\/-]+$/ } as const;

/** What terminals and shells of all systems may act on, including in quotes. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/u;

/** fish has backslashes in single quotes. */
const UNIX_SPECIAL = /\\/;

/**
 * cmd replaces %NAME% in quotes, PowerShell $name and `; both take “, ” and „ for quotes, or one of
 * them does. A backslash before the closing quote would escape it for the program.
 */
const WINDOWS_SPECIAL = /["%$`!\u201c-\u201e]|\\$/;

/**
 * A program and its arguments as one line for any shell of the platform. Null: a word holds what
 * one of them would act on even in quotes.
 */
export function shellLine(
  words: readonly string[],
  platform: NodeJS.Platform = process.platform,
): string | null {
  const quoted = words.map((word) => (platform === 'win32' ? windowsWord(word) : unixWord(word)));
  return quoted.every((word) => word !== null) ? quoted.join(' ') : null;
}

function unixWord(word: string): string | null {
  if (PLAIN.unix.test(word)) return word;
  if (UNSEEN.test(word) || UNIX_SPECIAL.test(word)) return null;
  return `'${word.replaceAll("'", `'"'"'`)}'`;
}

function windowsWord(word: string): string | null {
  if (PLAIN.windows.test(word)) return word;
  return UNSEEN.test(word) || WINDOWS_SPECIAL.test(word) ? null : `"${word}"`;
}
