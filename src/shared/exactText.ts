import { Float } from './exactValues';
import { isObject } from './values';

/**
 * The JSON of a value of `parseExactly`; parsing it exactly gives the same value.
 *
 * @param indent Null: all on one line. Else the number of spaces for each level.
 */
export function exactText(value: unknown, indent: number | null = null): string {
  return write(value, indent, '\n');
}

function write(value: unknown, indent: number | null, margin: string): string {
  if (value instanceof Float)
    return `${value.value}${/[.e]/.test(String(value.value)) ? '' : '.0'}`;
  if (typeof value === 'bigint') return String(value);
  const inner = margin + ' '.repeat(indent ?? 0);
  const within = (item: unknown) => write(item, indent, inner);
  if (Array.isArray(value)) return enclosed('[]', value.map(within), indent, margin);
  if (!isObject(value)) return JSON.stringify(value ?? null);
  const entries: Iterable<readonly [unknown, unknown]> =
    value instanceof Map ? (value as ReadonlyMap<unknown, unknown>) : Object.entries(value);
  const pairs = Array.from(entries, ([key, item]) => `${JSON.stringify(key)}: ${within(item)}`);
  return enclosed('{}', pairs, indent, margin);
}

function enclosed(
  brackets: string,
  parts: readonly string[],
  indent: number | null,
  margin: string,
): string {
  const [open, close] = [brackets[0]!, brackets[1]!];
  if (parts.length === 0) return brackets;
  if (indent === null) return open + parts.join(', ') + close;
  const inner = margin + ' '.repeat(indent);
  return open + inner + parts.join(`,${inner}`) + margin + close;
}
