import type { LayerWeights } from '../layers/layerWeights';
import type { Linear } from '../layers/linear';
import type { MergerWeights } from './merger';

/** The weights of a vision encoder. */
export interface VisionWeights {
  readonly patches: Linear;
  readonly positions: Float32Array; // [side², d]
  readonly layers: readonly LayerWeights[];
  readonly merger: MergerWeights;
  /** In the order of the spec's. */
  readonly deepstack: readonly MergerWeights[];
}
