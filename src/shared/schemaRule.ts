import type * as v from 'valibot';

/** Names of types, with their articles. */
const TYPES: Readonly<Record<string, string>> = {
  number: 'a number',
  string: 'a string',
  boolean: 'true or false',
  null: 'null',
  undefined: 'left out',
  Array: 'a list',
  Object: 'an object',
  Date: 'a date',
  never: 'left out',
};

/**
 * What a schema demands of a value, to follow its name: "must be a number". The schema's own
 * message where it is such a phrase.
 */
export function ruleOf(issue: Pick<v.BaseIssue<unknown>, 'message' | 'expected'>): string {
  if (issue.message.startsWith('must')) return issue.message;
  const { expected } = issue;
  if (expected === null || expected === '') return 'is not valid';
  return `must be ${phraseOf(expected)}`;
}

/** (string | null) -> a string or null; ("a" | "b") -> "a" or "b" */
function phraseOf(expected: string): string {
  const choices = expected.replace(/^\((.*)\)$/, '$1').split(' | ');
  const named = choices.map((choice) => TYPES[choice] ?? choice);
  return named.length === 1 ? named[0]! : `${named.slice(0, -1).join(', ')} or ${named.at(-1)!}`;
}
