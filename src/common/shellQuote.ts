/**
 * An argument as it is typed in a shell: unchanged where no character is special, else quoted, on
 * Windows for both PowerShell and cmd where one form serves both.
 */
export function shellQuote(text: string, platform: NodeJS.Platform = process.platform): string {
  if (platform !== 'win32')
    return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  if (/^[\w@+=:.\\/-]+$/.test(text)) return text;
  // PowerShell replaces variables in double quotes; cmd has no other quotes
  return /[$`]/.test(text) ? `'${text.replaceAll("'", "''")}'` : `"${text}"`;
}
