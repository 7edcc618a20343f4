import type { SeenKeys } from '../attention/attention';
import type { AttentionCache, AttentionWeights, DecodeStep } from '../attention/attentionBranch';
import { LayerForm } from '../ops/layerForm';
import type { Tensor } from '../ops/ops';
import { isPlainOutput } from './branchOutput';
import type { LayerWeights } from './layerWeights';
import type { Linear } from './linear';
import type { MlpWeights } from './mlpBranch';
import type { Norm } from './norm';

/** Most tokens that the fused kernel of a layer reads at once. */
const MOST_ROWS = 32;

/** In place of a tensor that a layer lacks. */
const NONE = -1;

/**
 * The next token of each of several sequences through a layer, x [m, d] -> [m, d], by one kernel;
 * null for layers that it does not compute. Frees x, and replaces each cache by the longer one.
 */
export function fusedStep(
  step: DecodeStep,
  w: LayerWeights,
  x: Tensor,
  caches: AttentionCache[],
): Tensor | null {
  const { ops, shape, rope } = step;
  const { fused } = ops;
  const isOneEach = shape.batch === 1 && shape.length === caches.length;
  if (!fused || !isOneEach || shape.length > MOST_ROWS || rope.kind !== 'rotate') return null;
  if (!isPlainLayer(w) || !caches.every(({ k, v }) => k.dtype === v.dtype)) return null;
  const { y, caches: longer } = fused.stepOfLayer(x, formOf(step, w), rope.forward, caches);
  ops.free(x);
  caches.forEach(({ k, v }, i) => {
    ops.free(k, v);
    caches[i] = longer[i]!;
  });
  return y;
}

/** A layer with attention, whose other branch is an MLP. */
type LayerWithMlp = LayerWeights & {
  readonly attention: AttentionWeights;
  readonly mlp: MlpWeights;
};

/** RMSNorms, rotated heads and SwiGLU, one branch after the other, and nothing else. */
function isPlainLayer(w: LayerWeights): w is LayerWithMlp {
  const { attention, mlp, ...layer } = w;
  return (
    mlp.kind === 'mlp' &&
    attention.kind === 'attention' &&
    layer.residual === 'sequential' &&
    layer.after_attention === null &&
    layer.after_mlp === null &&
    layer.perLayer === null &&
    layer.outputFactor === 1 &&
    isRms(attention.norm_in) &&
    isRms(mlp.norm_in) &&
    isPlainAttention(attention) &&
    isPlainOutput(mlp) &&
    mlp.gate !== null &&
    mlp.activation === 'silu' &&
    [attention.qkv, attention.o, mlp.gate, mlp.up, mlp.down].every(hasNoFactor)
  );
}

/** Heads that are rotated and attend, and nothing else. */
const isPlainAttention = (attention: AttentionWeights): boolean =>
  attention.qk_norm === null &&
  attention.distances === null &&
  attention.convolution === null &&
  attention.keysOf === null &&
  !attention.gated &&
  attention.sinks === null &&
  attention.softcap === null &&
  isPlainOutput(attention);

const isRms = (norm: Norm | null): boolean => norm?.kind === 'rms' && norm.bias === null;

/** Without DoRA. */
const hasNoFactor = ({ lora }: Linear): boolean => !lora?.factor;

/** The keys that the last query of a sequence sees; 0: all. */
function windowOf(seen: readonly SeenKeys[]): number {
  for (const own of seen) {
    if (own.kind === 'kernel') return own.form.window ?? 0;
    const cut = own.kind === 'rows' && own.blocks.find(({ from }) => from > 0);
    if (cut) return cut.to - cut.from;
  }
  return 0;
}

/** The layer as `Form` of src/runtime/kernels/layer.cc reads it. */
function formOf({ seen }: DecodeStep, { attention, mlp }: LayerWithMlp): LayerForm {
  const norms = [attention.norm_in!, mlp.norm_in!];
  const form = new LayerForm();
  form.add(attention.heads.num_heads, attention.heads.num_kv_heads, windowOf(seen));
  form.addReals(norms.map(({ eps }) => eps));
  for (const norm of norms) form.addNumbers(norm.scale());
  for (const linear of [attention.qkv, attention.o, mlp.gate!, mlp.up, mlp.down])
    addLinear(form, linear);
  return form;
}

function addLinear(form: LayerForm, { weight, bias, lora }: Linear): void {
  for (const tensor of [bias?.tensor, lora?.A, lora?.B]) {
    if (tensor) form.addNumbers(tensor);
    else form.add(NONE);
  }
  const { quantized } = weight;
  form.add(quantized?.parts.length ?? 1);
  if (!quantized) weight.use((numbers) => form.addMatrix(numbers));
  else for (const { blocks, type } of quantized.parts) form.addBlocks(blocks, type);
}
