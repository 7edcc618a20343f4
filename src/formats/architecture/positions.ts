import type { Spec } from './spec';

/** The most tokens of a row: learned positions end somewhere, rotary ones do not. */
export function positionsOf({ embedding }: Pick<Spec, 'embedding'>): number {
  return embedding.kind === 'tokens' && embedding.positions
    ? embedding.positions.rows - embedding.positions.offset
    : Infinity;
}
