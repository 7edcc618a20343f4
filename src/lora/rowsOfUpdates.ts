import type { LoraFactors } from './adapter';

/**
 * The updates of the parts of a fused weight: the same A, with each part's rows of B. Ranks that a
 * part does not use are left out, so that what `stackedRows` made becomes what it was made of.
 *
 * @param parts Paths of the parts, and their numbers of rows, from the first on.
 */
export function splitRows(
  m: LoraFactors,
  parts: readonly { readonly path: string; readonly rows: number }[],
): LoraFactors[] {
  let first = 0;
  const split = parts.map(({ path, rows }) => {
    const [from, to] = [first, first + rows];
    first = to;
    return {
      ...m,
      path,
      out_features: rows,
      B: m.B.slice(from * m.r, to * m.r),
      magnitude: m.magnitude?.slice(from, to) ?? null,
    };
  });
  const changing = split.filter((own) => own.magnitude ?? own.B.some((value) => value !== 0));
  return (changing.length === 0 ? split : changing).map(withoutUnusedRanks);
}

/** The same update without the ranks whose column of B is zero; at least one stays. */
function withoutUnusedRanks(m: LoraFactors): LoraFactors {
  const used = Array.from({ length: m.r }, (_, k) => k).filter((k) => {
    for (let row = 0; row < m.out_features; row++) if (m.B[row * m.r + k] !== 0) return true;
    return false;
  });
  if (used.length === m.r || used.length === 0) return m;
  const A = new Float32Array(used.length * m.in_features);
  const B = new Float32Array(m.out_features * used.length);
  for (const [k, old] of used.entries()) {
    A.set(m.A.subarray(old * m.in_features, (old + 1) * m.in_features), k * m.in_features);
    for (let row = 0; row < m.out_features; row++) B[row * used.length + k] = m.B[row * m.r + old]!;
  }
  return { ...m, r: used.length, A, B };
}

/** A part of a fused weight; null: it has no update. */
export interface StackedPart {
  readonly factors: LoraFactors | null;
  readonly rows: number;
}

/**
 * The update of a fused weight: the A of its parts below each other, and each B in a block of its
 * own. Parts with the same A share it. The parts have no magnitudes, or all of them do.
 */
export function stackedRows(path: string, parts: readonly StackedPart[]): LoraFactors {
  const own = parts.flatMap(({ factors }) => factors ?? []);
  const [model] = own as [LoraFactors, ...LoraFactors[]];
  const isShared = own.every((m) => hasSameA(m, model));
  const r = isShared ? model.r : own.reduce((sum, m) => sum + m.r, 0);
  const out_features = parts.reduce((sum, { rows }) => sum + rows, 0);
  const A = isShared ? model.A : joined(own.map((m) => m.A));
  const B = new Float32Array(out_features * r);
  let [row, rank] = [0, 0];
  for (const { factors, rows } of parts) {
    if (factors) {
      const factor = factors.scaling / model.scaling;
      for (let o = 0; o < rows; o++)
        for (let k = 0; k < factors.r; k++)
          B[(row + o) * r + rank + k] = factors.B[o * factors.r + k]! * factor;
      if (!isShared) rank += factors.r;
    }
    row += rows;
  }
  const magnitudes = own.flatMap((m) => m.magnitude ?? []);
  const magnitude = magnitudes.length > 0 ? joined(magnitudes) : null;
  return { ...model, path, r, out_features, A, B, magnitude };
}

const hasSameA = (a: LoraFactors, b: LoraFactors): boolean =>
  a.r === b.r && a.A.length === b.A.length && a.A.every((value, i) => value === b.A[i]);

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The update with the two halves of its rows exchanged. */
export function swappedRows(m: LoraFactors, path: string): LoraFactors {
  const half = m.out_features / 2;
  const swap = (values: Float32Array, width: number) =>
    joined([values.subarray(half * width), values.subarray(0, half * width)]);
  return { ...m, path, B: swap(m.B, m.r), magnitude: m.magnitude && swap(m.magnitude, 1) };
}
