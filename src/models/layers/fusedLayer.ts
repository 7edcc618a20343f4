import type { PassContext, SelectedRows } from '../attention/passContext';
import { isMixerTrained } from './mixing';
import { DenseWeight, type WeightTensor } from '../weightTensor';
import type {
  LayerForm,
  LayerKernels,
  LayerLinear,
  LayerTensors,
  LayerWeight,
} from '../ops/layerKernels';
import type { Ops, Tensor } from '../ops/ops';
import { dropoutForm, type Dropout } from './dropout';
import type { LayerWeights } from './layerWeights';
import { FEW_ROWS, type Linear } from './linear';
import { LoraBlock } from './loraBlock';
import { isNormTrained, type Norm } from './norm';
import { isPlainLayer, type LayerWithMlp } from './plainLayer';

/** A layer in one pass that one operation computes forward, and another one backward. */
export interface FusedLayer {
  readonly kernels: LayerKernels;
  readonly form: LayerForm;
  readonly tables: { readonly forward: Tensor; readonly backward: Tensor };
  readonly w: LayerWithMlp;
}

/** What its forward pass saved. */
export interface FusedSaved extends LayerTensors {
  readonly x: Tensor; // [n, d]
  readonly layer: FusedLayer;
}

const linearsOf = ({ attention, mlp }: LayerWithMlp): readonly Linear[] => [
  attention.qkv,
  attention.o,
  mlp.gate!,
  mlp.up,
  mlp.down,
];

/**
 * The layer for an input x [n, d] of which all rows leave it; null if it is computed by separate
 * operations: it has more than a layer of a Llama, or its weights train.
 */
export function fusedLayer(
  pass: PassContext,
  w: LayerWeights,
  x: Tensor,
  rows: SelectedRows | null,
): FusedLayer | null {
  const kernels = pass.ops.fused?.layers;
  const isWhole = !rows && x.shape[0]! > FEW_ROWS;
  if (!kernels || !isWhole || !isPlainLayer(w) || !isFrozen(w)) return null;
  const { attention } = w;
  const tables = pass.ropeTables.get(attention.ropeKey);
  const seen = pass.seen.get(attention.windowKey);
  if (tables?.kind !== 'rotate' || seen?.kind !== 'kernel') return null;
  const heads = { ...attention.heads, batch: pass.shape.batch };
  const form = formOf(w, { heads, attention: seen.form }, pass.dropout);
  return form && { kernels, form, tables, w };
}

/** Whether norms and biases are frozen; only q, k and v have biases. */
function isFrozen(w: LayerWithMlp): boolean {
  const { attention, mlp } = w;
  const areNormsFrozen = !isNormTrained(attention.norm_in) && !isNormTrained(mlp.norm_in);
  const [qkv, ...others] = linearsOf(w);
  return areNormsFrozen && !qkv?.bias?.gradientSink && others.every(({ bias }) => bias === null);
}

/** Null if the kernel cannot read a weight. */
function formOf(
  w: LayerWithMlp,
  attention: Pick<LayerForm, 'heads' | 'attention'>,
  dropout: Dropout | null,
): LayerForm | null {
  const [qkv, o, gate, up, down] = linearsOf(w).map((linear) => formOfLinear(linear, dropout));
  if (!qkv || !o || !gate || !up || !down) return null;
  return {
    ...attention,
    norms: [formOfNorm(w.attention.norm_in!), formOfNorm(w.mlp.norm_in!)],
    bias: w.attention.qkv.bias?.tensor ?? null,
    linears: [qkv, o, gate, up, down],
  };
}

const formOfNorm = ({ scale, eps }: Norm) => ({ weight: scale(), eps });

/** Null if the kernel cannot read the weight, whose numbers are not in bf16, or train. */
function formOfLinear({ weight, lora }: Linear, dropout: Dropout | null): LayerLinear | null {
  const own = weight.dtype === 'bf16' && !weight.gradientSink && weightForm(weight);
  return own ? { weight: own, low: lora && formOfLora(lora, dropout) } : null;
}

const formOfLora = (lora: LoraBlock, dropout: Dropout | null): LayerLinear['low'] => ({
  a: lora.A,
  b: lora.B,
  trains: lora.trains,
  dropout: dropout && dropoutForm(dropout, lora),
});

function weightForm(weight: WeightTensor): LayerWeight | null {
  if (weight.quantized) return { numbers: null, parts: weight.quantized.parts };
  return weight instanceof DenseWeight ? { numbers: weight.tensor, parts: null } : null;
}

/** The layer's output, and what its backward pass needs, which owns x. */
export function fusedForward(
  layer: FusedLayer,
  x: Tensor,
): { readonly y: Tensor; readonly saved: FusedSaved } {
  const { y, saved } = layer.kernels.forward(layer.form, layer.tables.forward, x);
  return { y, saved: { ...saved, x, layer } };
}

/** Frees what was saved, except for x unless `includeInput`. */
export const freeFused = (ops: Ops, { floats, halves, x }: FusedSaved, includeInput = true): void =>
  ops.free(floats, halves, ...(includeInput ? [x] : []));

/**
 * dy [n, d] -> dx [n, d], or null unless `wantsInput`. Accumulates the gradients of the low-rank
 * factors. Frees dy and what was saved.
 */
export async function fusedBackward(
  ops: Ops,
  saved: FusedSaved,
  { dy, wantsInput }: { readonly dy: Tensor; readonly wantsInput: boolean },
): Promise<Tensor | null> {
  const { kernels, form, tables, w } = saved.layer;
  const wants = { input: wantsInput, attention: wantsInput || isMixerTrained(w.attention) };
  const { dx, gradients } = kernels.backward(form, tables.backward, saved, { dy, wants });
  freeFused(ops, saved);
  ops.free(dy);
  const trained = linearsOf(w).flatMap(({ lora }) => (lora?.trains ? [lora] : []));
  if (gradients) await LoraBlock.accumulateAll(ops, trained, gradients);
  return dx;
}
