/** A key that is probably another one, misspelled. */
export interface Misspelling {
  readonly key: string;
  readonly meant: string;
}

/** Says that a key is not known. */
export const unknownKeyMessage = ({ key, meant }: Misspelling): string =>
  `"${key}" is not a known key; did you mean "${meant}"?`;

/** Says that a key is missing which is there under another name. */
export const missingKeyMessage = ({ key, meant }: Misspelling): string =>
  `"${meant}" is missing; is it misspelled as "${key}"?`;

/** The misspelling that one of the messages above tells of; null for any other message. */
export function misspellingIn(message: string): Misspelling | null {
  const unknown = /^"(.*)" is not a known key; did you mean "(.*)"\?$/s.exec(message);
  if (unknown) return { key: unknown[1]!, meant: unknown[2]! };
  const missing = /^"(.*)" is missing; is it misspelled as "(.*)"\?$/s.exec(message);
  return missing ? { key: missing[2]!, meant: missing[1]! } : null;
}
