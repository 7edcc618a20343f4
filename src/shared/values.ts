/** Whether a value is an object with keys: not null, not an array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A text as a regular expression that matches exactly this text. */
export function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** Replaces the placeholders {0}, {1}… of a text by values. */
export function fill(text: string, values: readonly (string | number)[]): string {
  return text.replace(/\{(\d+)\}/g, (whole, index: string) =>
    String(values[Number(index)] ?? whole),
  );
}

/** A count with its noun: "1 step", "2 steps". `format` writes the number. */
export const countOf = (count: number, noun: string, format: (n: number) => string = String) =>
  `${format(count)} ${noun}${count === 1 ? '' : 's'}`;
