import type { PatchEmbeddingSpec, Spec } from './spec';

/** The longest input in tokens: that of learned positions, or Infinity for rotary ones. */
export function positionsOf({ embedding }: Pick<Spec, 'embedding'>): number {
  return embedding.kind === 'tokens' && embedding.positions
    ? embedding.positions.rows - embedding.positions.offset
    : Infinity;
}

/** Positions that an image of a size takes: its patches, and the class token if there is one. */
export function imageLengthOf(
  { cls_token, patch_size, image_size }: PatchEmbeddingSpec,
  [height, width]: readonly [number, number] = image_size,
): number {
  const patches = Math.floor(height / patch_size[0]) * Math.floor(width / patch_size[1]);
  return patches + (cls_token === null ? 0 : 1);
}
