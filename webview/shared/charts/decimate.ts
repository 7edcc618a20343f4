export interface Point {
  x: number;
  y: number;
}

/** The range of steps that is on screen. */
export interface Range {
  readonly from: number;
  readonly to: number;
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

/**
 * Points to draw of a line over `range`: all of them while they are few, else the lowest and the
 * highest of each pixel column, in their order, so that no spike is lost. One point on either side
 * of the range keeps the line going to the edge. NaN stays where a whole column has no value, and
 * breaks the line there.
 * @param xs rising
 * @param out filled and returned; its points are used again
 */
export function decimate(
  xs: Float64Array,
  ys: Float64Array,
  range: Range,
  pixels: number,
  out: Point[] = [],
): Point[] {
  const first = Math.max(0, firstAtLeast(xs, range.from) - 1);
  const end = Math.min(xs.length, firstAtLeast(xs, range.to) + 2);
  const columns = Math.max(1, Math.floor(pixels));
  out.length =
    end - first <= 2 * columns
      ? copy(xs, ys, first, end, out)
      : thin(xs, ys, first, end, columns, out);
  return out;
}

function copy(
  xs: Float64Array,
  ys: Float64Array,
  first: number,
  end: number,
  out: Point[],
): number {
  for (let i = first; i < end; i++) put(out, i - first, xs[i]!, ys[i]!);
  return end - first;
}

function thin(
  xs: Float64Array,
  ys: Float64Array,
  first: number,
  end: number,
  columns: number,
  out: Point[],
): number {
  const start = xs[first]!;
  const width = (xs[end - 1]! - start) / columns;
  let n = 0;
  let i = first;
  for (let column = 0; column < columns && i < end; column++) {
    const limit = column === columns - 1 ? Infinity : start + (column + 1) * width;
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
    put(out, n++, xs[Math.min(low, high)]!, ys[Math.min(low, high)]!);
    if (low !== high) put(out, n++, xs[Math.max(low, high)]!, ys[Math.max(low, high)]!);
  }
  return n;
}

function put(out: Point[], index: number, x: number, y: number): void {
  const point = out[index];
  if (point) {
    point.x = x;
    point.y = y;
  } else out[index] = { x, y };
}
