/**
 * Whether an answer, as far as it is written, can still become the expected one: what is wrong
 * already need not be written to its end.
 */
export function canBecome(text: string, expected: string): boolean {
  const begun = text.trimStart();
  const wanted = expected.trim();
  // a character of several tokens is not whole yet
  return begun.endsWith('\uFFFD') || wanted.startsWith(begun) || begun.trimEnd() === wanted;
}
