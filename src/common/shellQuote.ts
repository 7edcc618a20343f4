/** PowerShell takes these for quotes, too. */
const DOUBLE_QUOTES = /["\u201c-\u201e]/;
const SINGLE_QUOTES = /['\u2018-\u201b]/g;

/**
 * An argument as it is typed in a shell: unchanged where no character is special, else quoted, on
 * Windows for both PowerShell and cmd where one form serves both. Where none does, and one of them
 * would act on a part of the text, only PATH is typed, to be replaced.
 */
export function shellQuote(text: string, platform: NodeJS.Platform = process.platform): string {
  if (platform !== 'win32')
    return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  if (/^[\w@+=:.\\/-]+$/.test(text)) return text;
  // PowerShell replaces variables in double quotes; cmd has no other quotes
  if (!/[$`]/.test(text) && !DOUBLE_QUOTES.test(text)) return `"${text}"`;
  return /["&|<>^%]/.test(text) ? 'PATH' : `'${text.replace(SINGLE_QUOTES, '$&$&')}'`;
}
