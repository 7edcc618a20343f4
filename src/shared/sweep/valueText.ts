const MAX_LENGTH = 40;

/** A value of a key in a few characters: 1e-4, q_proj, the name of a file without its folder. */
export function valueText(value: unknown): string {
  const text = fullText(value);
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH - 1)}…` : text;
}

function fullText(value: unknown): string {
  if (typeof value === 'number') return numberText(value);
  if (typeof value !== 'string') return value === undefined ? '–' : JSON.stringify(value);
  return value.split(/[\\/]/).findLast((part) => part !== '') ?? value;
}

/** Small numbers with an exponent, as people write learning rates: 0.00025 as 2.5e-4. */
const numberText = (value: number): string =>
  value !== 0 && Math.abs(value) < 0.01 ? value.toExponential() : String(value);
