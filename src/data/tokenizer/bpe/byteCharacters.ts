/** Ranges of Latin-1 that byte-level vocabularies write as they are. */
const PRINTED = [
  [0x21, 0x7e],
  [0xa1, 0xac],
  [0xae, 0xff],
] as const;

/** The character that stands for a byte: its own where it is printed, else one from U+0100 on. */
export const BYTE_CHARACTERS: readonly string[] = byteCharacters();

function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const isPrinted = PRINTED.some(([first, last]) => byte >= first && byte <= last);
    return String.fromCharCode(isPrinted ? byte : next++);
  });
}
