/** Whether a value is an object with keys: not null, not an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A text as a regular expression that matches exactly this text. */
export function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/**
 * Replaces the placeholders of a text by values: {0}, {1}, …, and {0|row|rows} by the first word if
 * the value {0} is 1, else by the second.
 */
export function fill(text: string, values: readonly (string | number | boolean)[]): string {
  return text.replace(
    /\{(\d+)(?:\|([^{}|]*)\|([^{}|]*))?\}/g,
    (whole, index: string, one: string | undefined, many: string | undefined) => {
      const value = values[Number(index)];
      if (value === undefined) return whole;
      if (one === undefined || many === undefined) return String(value);
      return String(value) === '1' ? one : many;
    },
  );
}

/** A noun in the plural: step, entry -> steps, entries. */
const pluralOf = (noun: string) => `${noun.replace(/(?<=[^aeiou])y$/, 'ie')}s`;

/** A count with its noun: "1 step", "2 steps". `format` writes the number. */
export const countOf = (count: number, noun: string, format: (n: number) => string = String) =>
  `${format(count)} ${count === 1 ? noun : pluralOf(noun)}`;
