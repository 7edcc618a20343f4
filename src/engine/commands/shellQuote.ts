/** A path as one argument of a command that the user can copy into a shell. */
export function shellQuote(text: string, platform: NodeJS.Platform = process.platform): string {
  if (/^[\w@%+=:,./~\\-]+$/.test(text) && (platform === 'win32' || !/[\\~]/.test(text))) {
    return text;
  }
  return platform === 'win32'
    ? `"${text.replaceAll('"', '""')}"`
    : `'${text.replaceAll("'", "'\\''")}'`;
}
