import type { Spec } from './spec';

/** The longest input in tokens: that of learned positions, or Infinity for rotary ones. */
export function positionsOf({ embedding }: Pick<Spec, 'embedding'>): number {
  return embedding.kind === 'tokens' && embedding.positions
    ? embedding.positions.rows - embedding.positions.offset
    : Infinity;
}
