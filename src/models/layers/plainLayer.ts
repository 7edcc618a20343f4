import type { AttentionWeights } from '../attention/attentionBranch';
import { isPlainOutput } from './branchOutput';
import type { LayerWeights } from './layerWeights';
import type { Linear } from './linear';
import type { MlpWeights } from './mlpBranch';
import type { Norm } from './norm';

/** A layer with attention, whose other branch is an MLP. */
export type LayerWithMlp = LayerWeights & {
  readonly attention: AttentionWeights;
  readonly mlp: MlpWeights;
};

/** RMSNorms, rotated heads and SwiGLU, one branch after the other, and nothing else. */
export function isPlainLayer(w: LayerWeights): w is LayerWithMlp {
  const { attention, mlp, ...layer } = w;
  return (
    mlp.kind === 'mlp' &&
    attention.kind === 'attention' &&
    layer.residual === 'sequential' &&
    layer.cross === null &&
    layer.after_attention === null &&
    layer.after_mlp === null &&
    layer.perLayer === null &&
    layer.outputFactor === 1 &&
    isRms(attention.norm_in) &&
    isRms(mlp.norm_in) &&
    isPlainAttention(attention) &&
    isPlainMlp(mlp)
  );
}

/** SwiGLU and nothing else. */
const isPlainMlp = (mlp: MlpWeights): boolean =>
  isPlainOutput(mlp) &&
  mlp.gate !== null &&
  mlp.clamped === null &&
  mlp.activation === 'silu' &&
  [mlp.gate, mlp.up, mlp.down].every(hasNoFactor);

/** Heads that are rotated and attend, and nothing else. */
const isPlainAttention = (attention: AttentionWeights): boolean =>
  attention.qk_norm === null &&
  attention.distances === null &&
  attention.convolution === null &&
  attention.keysOf === null &&
  attention.lendsKeysAs === null &&
  !attention.gated &&
  attention.sinks === null &&
  attention.softcap === null &&
  isPlainOutput(attention) &&
  [attention.qkv, attention.o].every(hasNoFactor);

export const isRms = (norm: Norm | null): boolean => norm?.kind === 'rms' && norm.bias === null;

/** Without DoRA. */
export const hasNoFactor = ({ lora }: Linear): boolean => !lora?.factor;
