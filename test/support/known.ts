/** A value that a test knows to be there. */
export function known<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) throw new Error('The value is missing.');
  return value;
}
