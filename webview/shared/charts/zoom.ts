import { firstAtLeast, type Range } from './decimate';

/** The element of `places` (rising) that is nearest to `x`; null without any. */
export function nearest(places: Float64Array, x: number): number | null {
  if (places.length === 0 || !Number.isFinite(x)) return null;
  const next = Math.min(places.length - 1, firstAtLeast(places, x));
  const before = Math.max(0, next - 1);
  return x - places[before]! <= places[next]! - x ? places[before]! : places[next]!;
}

/** The least place at which a logarithmic axis can begin. */
export const firstAbove0 = (places: Float64Array): number => places.find((x) => x > 0) ?? 1;

/** The place `count` after `at` (before it if negative), clamped to the first and last. */
export function stepAway(places: Float64Array, at: number, count: number): number | null {
  if (places.length === 0) return null;
  const index = Math.min(places.length - 1, Math.max(0, firstAtLeast(places, at) + count));
  return places[index]!;
}

/** `range` with its width times `factor`, around `center` and within `extent`; null: all of it. */
export function zoomed(range: Range, extent: Range, center: number, factor: number): Range | null {
  const share = (center - range.from) / (range.to - range.from);
  const width = Math.max(2, (range.to - range.from) * factor);
  return clipped({ from: center - share * width, to: center + (1 - share) * width }, extent);
}

/** The range moved by a share of its width, within `extent`. */
export function panned(range: Range, extent: Range, share: number): Range {
  const width = range.to - range.from;
  const from = Math.round(
    Math.min(extent.to - width, Math.max(extent.from, range.from + share * width)),
  );
  return { from, to: from + width };
}

/** The range rounded outwards to integers within `extent`; null: all of it, or nothing is left. */
export function clipped(range: Range, extent: Range): Range | null {
  const from = Math.max(extent.from, Math.floor(range.from));
  const to = Math.min(extent.to, Math.ceil(range.to));
  if (from <= extent.from && to >= extent.to) return null;
  return to - from >= 1 ? { from, to } : null;
}
