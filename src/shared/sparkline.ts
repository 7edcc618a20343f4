const BARS = '▁▂▃▄▅▆▇█';

/**
 * A curve as one line of text with at most `width` bars. Each bar is the mean of a part of the
 * values; a part without finite values is a space.
 */
export function sparkline(values: readonly number[], width = 32): string {
  const length = Math.min(width, values.length);
  const parts = Array.from({ length }, (_, i) => {
    const own = values
      .slice(
        Math.floor((i * values.length) / length),
        Math.floor(((i + 1) * values.length) / length),
      )
      .filter(Number.isFinite);
    return own.reduce((sum, value) => sum + value, 0) / own.length;
  });
  const known = parts.filter(Number.isFinite);
  const least = Math.min(...known);
  const range = Math.max(...known) - least;
  const barOf = (value: number) => {
    if (!Number.isFinite(value)) return ' ';
    return BARS[range === 0 ? 0 : Math.round(((value - least) / range) * (BARS.length - 1))];
  };
  return parts.map(barOf).join('');
}
