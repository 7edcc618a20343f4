import { plainNumber } from '../../shared/exactValues';
import { nearestName } from '../../shared/nearest';

/** The kind of a JSON value, for messages. */
export function kindOf(given: unknown): string {
  const value = plainNumber(given);
  if (value === null) return 'null';
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return (
    { object: 'an object', string: 'text', number: 'a number', boolean: 'true or false' }[
      typeof value as string
    ] ?? typeof value
  );
}

const LONGEST_SHOWN = 40;

/** A text in quotes for messages, shortened if it is long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text);
}

/** The known name of which a key is probably a misspelling. */
export function nearestKey(key: string, known: readonly string[]): string | undefined {
  return key.length > LONGEST_SHOWN ? undefined : nearestName(key, known);
}
