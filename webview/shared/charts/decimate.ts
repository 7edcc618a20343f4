export interface Point {
  x: number;
  y: number;
}

/** A part of the x axis. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** x (rising) and y of one curve, of the same length. */
export interface SeriesPoints {
  readonly xs: Float64Array;
  readonly ys: Float64Array;
}

/** Index of the first x that is at least `value`; xs rise. */
export function firstAtLeast(xs: ArrayLike<number>, value: number): number {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (xs[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The columns of pixels that a curve is drawn in. */
export interface Columns {
  readonly pixels: number;
  /** Whether the x axis is logarithmic. */
  readonly logarithmic: boolean;
}

/**
 * Points to draw of a curve over `range`: all of them while they are few, otherwise the lowest and
 * the highest of each pixel column, in their order, so that no spike is lost. One point on either
 * side of the range continues the curve to the edge. NaN stays where a whole column has no value,
 * and breaks the curve there.
 * @param out filled and returned; its points are reused
 */
export function decimate(
  { xs, ys }: SeriesPoints,
  range: Range,
  { pixels, logarithmic }: Columns,
  out: Point[] = [],
): Point[] {
  const first = Math.max(0, firstAtLeast(xs, range.from) - 1);
  const end = Math.min(xs.length, firstAtLeast(xs, range.to) + 2);
  const columns = Math.max(1, Math.floor(pixels));
  const part = { xs: xs.subarray(first, end), ys: ys.subarray(first, end) };
  out.length =
    end - first <= 2 * columns
      ? copy(part, out)
      : thin(part, columnEnds(part.xs, columns, logarithmic), out);
  return out;
}

/** Both return the number of points written. */
function copy({ xs, ys }: SeriesPoints, out: Point[]): number {
  for (let i = 0; i < xs.length; i++) put(out, i, xs[i]!, ys[i]!);
  return xs.length;
}

/** A function that gives the end of a column. Logarithmic ones have equal ratios. */
function columnEnds(xs: Float64Array, columns: number, logarithmic: boolean): ColumnEnds {
  const end = xs[xs.length - 1]!;
  const start = logarithmic ? xs.find((x) => x > 0)! : xs[0]!;
  const at = logarithmic
    ? (share: number) => start * (end / start) ** share
    : (share: number) => start + share * (end - start);
  const endOf = (column: number) =>
    column === columns - 1 ? Infinity : at((column + 1) / columns);
  return { columns, endOf };
}

interface ColumnEnds {
  readonly columns: number;
  readonly endOf: (column: number) => number;
}

function thin({ xs, ys }: SeriesPoints, { columns, endOf }: ColumnEnds, out: Point[]): number {
  const end = xs.length;
  let n = 0;
  let i = 0;
  for (let column = 0; column < columns && i < end; column++) {
    const limit = endOf(column);
    const from = i;
    let low = -1;
    let high = -1;
    for (; i < end && xs[i]! < limit; i++) {
      const y = ys[i]!;
      if (Number.isNaN(y)) continue;
      if (low < 0 || y < ys[low]!) low = i;
      if (high < 0 || y > ys[high]!) high = i;
    }
    if (i === from) continue;
    if (low < 0) {
      put(out, n++, xs[from]!, NaN);
      continue;
    }
    const [left, right] = [Math.min(low, high), Math.max(low, high)];
    put(out, n++, xs[left]!, ys[left]!);
    if (left !== right) put(out, n++, xs[right]!, ys[right]!);
  }
  return n;
}

function put(out: Point[], index: number, x: number, y: number): void {
  const point = out[index];
  if (point) {
    point.x = x;
    point.y = y;
  } else {
    out[index] = { x, y };
  }
}
