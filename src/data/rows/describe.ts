import { nearestName } from '../../shared/nearest';

/** For messages: what a JSON value is, in a word. */
export function kindOf(value: unknown): string {
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

/** For messages: a text in quotes, cut where it is long. */
export function quote(text: string): string {
  return JSON.stringify(text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text);
}

/** The known name that a key may be a misspelling of; long keys are none. */
export function nearestKey(key: string, known: readonly string[]): string | undefined {
  return key.length > LONGEST_SHOWN ? undefined : nearestName(key, known);
}
