import type { PatchEmbeddingSpec, Spec } from './spec';

/** The longest input in tokens: that of learned positions, or Infinity for rotary ones. */
export function positionsOf({ embedding }: Pick<Spec, 'embedding'>): number {
  return embedding.kind === 'tokens' && embedding.positions
    ? embedding.positions.rows - embedding.positions.offset
    : Infinity;
}

/**
 * The longest text in tokens that a model can be asked about: also with rotary positions, beyond
 * which its answers mean nothing. Infinity where it is not known.
 */
export const contextOf = (spec: Pick<Spec, 'embedding' | 'context'>): number =>
  Math.min(positionsOf(spec), spec.context ?? Infinity);

/** The length to which a model pads each text, whatever it is; null: to that of the longest. */
export const rowLengthOf = (spec: Pick<Spec, 'embedding' | 'head'>): number | null =>
  spec.head.kind === 'contrastive' && spec.head.fills ? positionsOf(spec) : null;

/** No model that is of use was made for shorter texts: configs of tests say so. */
const LEAST_CONTEXT = 512;

/**
 * `context` of a spec by the `max_position_embeddings` of its config, which scaled positions go
 * beyond: "dynamic" and "linear" by their factor, "yarn" by that of the original number. Null where
 * the config does not say it, or where no layer has rotary positions (T5).
 */
export function statedContext(stated: unknown, { layers }: Pick<Spec, 'layers'>): number | null {
  if (typeof stated !== 'number' || !(stated >= LEAST_CONTEXT)) return null;
  if (layers.every(({ attention }) => attention.rope === null)) return null;
  const scaled = layers.map(({ attention: { rope } }) => {
    const scaling = rope?.scaling;
    if (scaling?.kind === 'yarn') return scaling.factor * scaling.original_max_position_embeddings;
    return scaling?.kind === 'dynamic' || scaling?.kind === 'linear' ? scaling.factor * stated : 0;
  });
  return Math.floor(Math.max(stated, ...scaled));
}

/** Positions that an image of a size takes: its patches, and the class token if there is one. */
export function imageLengthOf(
  { cls_token, patch_size, image_size }: PatchEmbeddingSpec,
  [height, width]: readonly [number, number] = image_size,
): number {
  const patches = Math.floor(height / patch_size[0]) * Math.floor(width / patch_size[1]);
  return patches + (cls_token === null ? 0 : 1);
}
