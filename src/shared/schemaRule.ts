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
export function ruleOf(
  issue: Pick<v.BaseIssue<unknown>, 'message' | 'expected' | 'type' | 'requirement'>,
): string {
  if (/^(?:must|is) /.test(issue.message)) return issue.message;
  const { expected, type } = issue;
  if (type.endsWith('object') && expected?.startsWith('"')) return 'is missing';
  const rule = ACTIONS[type]?.(String(issue.requirement));
  if (rule !== undefined) return rule;
  if (expected === null || expected === '') return 'is not valid';
  return `must be ${phraseOf(expected)}`;
}

/** What valibot's actions demand, by their types. */
const ACTIONS: Readonly<Record<string, (requirement: string) => string>> = {
  integer: () => 'must be a whole number',
  finite: () => 'must be a finite number',
  safe_integer: () => 'must be a whole number below 2^53',
  min_value: (least) => `must be at least ${least}`,
  max_value: (most) => `must be at most ${most}`,
  gt_value: (limit) => `must be above ${limit}`,
  lt_value: (limit) => `must be below ${limit}`,
  non_empty: () => 'must not be empty',
  min_length: (least) =>
    least === '1' ? 'must not be empty' : `must have at least ${least} parts`,
  max_length: (most) => `must have at most ${most} ${most === '1' ? 'part' : 'parts'}`,
  regex: () => 'does not have the right form',
};

/** (string | null) -> a string or null; ("a" | "b") -> "a" or "b" */
function phraseOf(expected: string): string {
  const choices = expected.replace(/^\((.*)\)$/, '$1').split(' | ');
  const named = choices.map((choice) => TYPES[choice] ?? choice);
  return named.length === 1 ? named[0]! : `${named.slice(0, -1).join(', ')} or ${named.at(-1)!}`;
}
