import type { Dropout } from '../layers/dropout';
import type { ModelInput } from '../model';
import { castAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';
import type { ImageVectors, PlacedImage } from './placedImage';
import type { ImagePass, VisionTower } from './visionTower';

/** The vectors of a batch's images, and the rows among batch · length that they are in. */
export interface PlacedVectors extends ImageVectors {
  readonly rows: Int32Array; // [tokens]
  /** Those of the tower that have not ended; none unless it trains. */
  readonly passes: readonly ImagePass[];
}

/** What a pass is for. */
interface Purpose {
  readonly train: boolean;
  readonly dropout: Dropout | null;
}

/** The vectors of an input's images; null: it has none. */
export async function placedVectors(
  tower: VisionTower | null,
  { placed_images: images = [] }: Pick<ModelInput, 'placed_images'>,
  { train, dropout }: Purpose = { train: false, dropout: null },
): Promise<PlacedVectors | null> {
  if (images.length === 0) return null;
  if (!tower) throw new Error('The model was loaded without its vision encoder.');
  const rows = rowsOf(images, tower.spec.merge);
  return train && tower.trains
    ? { ...(await tower.forward(images, dropout)), rows }
    : { ...(await tower.vectorsOf(images)), rows, passes: [] };
}

/** The rows among batch · length that the vectors of images are in. */
export const rowsOf = (images: readonly PlacedImage[], merge: number): Int32Array =>
  Int32Array.from(
    images.flatMap(({ at, grid }) =>
      Array.from({ length: (grid.height * grid.width) / merge ** 2 }, (_, i) => at + i),
    ),
  );

/** Those in the rows from `from` on, before `to`, counted from there. */
export function vectorsWithin(all: PlacedVectors, from: number, to: number): PlacedVectors {
  const kept = [...all.rows.keys()].filter((i) => all.rows[i]! >= from && all.rows[i]! < to);
  // the rows are in their order, so those kept follow each other
  const [start, end] = [kept[0] ?? 0, (kept.at(-1) ?? -1) + 1];
  const part = (numbers: Float32Array) => {
    const d = numbers.length / all.tokens;
    return numbers.subarray(start * d, end * d);
  };
  return {
    tokens: kept.length,
    passes: [],
    rows: Int32Array.from(kept, (i) => all.rows[i]! - from),
    vectors: part(all.vectors),
    deepstack: all.deepstack.map(part),
  };
}

/** x [n, d], which is freed, with the images' vectors in their rows; x itself without images. */
export const withVectors = (ops: Ops, x: Tensor, images: PlacedVectors | null): Tensor =>
  images && images.rows.length > 0
    ? withRows(ops, castAndFree(ops, x, 'f32'), images.rows, images.vectors)
    : x;

/** The gradient dx [n, d], which is freed, of what the images' vectors are not in. */
export const withoutVectors = (ops: Ops, dx: Tensor, { rows, vectors }: PlacedVectors): Tensor =>
  withRows(ops, castAndFree(ops, dx, 'f32'), rows, new Float32Array(vectors.length));

/**
 * x, which is freed, with what is added after a layer. `selected`: the rows among batch · length
 * that x has; null: all.
 */
export function withDeepstack(
  ops: Ops,
  x: Tensor,
  images: PlacedVectors | null,
  { layer, selected }: { readonly layer: number; readonly selected: Int32Array | null },
): Tensor {
  const added = images?.deepstack[layer];
  if (!added || images.rows.length === 0) return x;
  const { kept, places } = rowsWithin(images.rows, selected);
  if (kept.length === 0) return x;
  const d = added.length / images.rows.length;
  const values = new Float32Array(kept.length * d);
  kept.forEach((from, i) => values.set(added.subarray(from * d, (from + 1) * d), i * d));
  const exact = castAndFree(ops, x, 'f32');
  const indices = ops.upload(places, [places.length]);
  const own = thenFree(ops, ops.gather(exact, indices), indices);
  const more = ops.upload(values, [places.length, d]);
  const sum = thenFree(ops, ops.add(own, more), own, more);
  const at = ops.upload(places, [places.length, 1]);
  return thenFree(ops, ops.scatter(exact, at, sum), exact, at, sum);
}

/**
 * The gradient of the images' vectors [tokens, d], from dx, which is not freed, of what they were
 * put into or added to. `selected`: the rows among batch · length that dx has; null: all.
 */
export function gradientOfVectors(
  ops: Ops,
  dx: Tensor,
  { tokens, rows }: PlacedVectors,
  selected: Int32Array | null,
): Tensor {
  const { kept, places } = rowsWithin(rows, selected);
  const d = dx.shape[1]!;
  if (kept.length === 0) return ops.upload(new Float32Array(tokens * d), [tokens, d]);
  const indices = ops.upload(places, [places.length]);
  const own = castAndFree(ops, thenFree(ops, ops.gather(dx, indices), indices), 'f32');
  if (kept.length === tokens) return own;
  const zeros = ops.upload(new Float32Array(tokens * d), [tokens, d]);
  const at = ops.upload(Int32Array.from(kept), [kept.length, 1]);
  return thenFree(ops, ops.scatter(zeros, at, own), zeros, at, own);
}

/** Which of the images' rows are among the selected ones (null: all), and their places there. */
function rowsWithin(
  rows: Int32Array,
  selected: Int32Array | null,
): { readonly kept: readonly number[]; readonly places: Int32Array } {
  const placeOf = selected && new Map(Array.from(selected, (row, i) => [row, i]));
  const kept = [...rows.keys()].filter((i) => !placeOf || placeOf.has(rows[i]!));
  const places = Int32Array.from(kept, (i) => (placeOf ? placeOf.get(rows[i]!)! : rows[i]!));
  return { kept, places };
}

function withRows(ops: Ops, x: Tensor, rows: Int32Array, values: Float32Array): Tensor {
  const at = ops.upload(rows, [rows.length, 1]);
  const own = ops.upload(values, [rows.length, values.length / rows.length]);
  return thenFree(ops, ops.scatter(x, at, own), x, at, own);
}
