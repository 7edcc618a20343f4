import type { PassContext, SelectedRows } from '../attention/passContext';
import { isMixerTrained } from './mixing';
import { DenseWeight, type WeightTensor } from '../weightTensor';
import type {
  LayerForm,
  LayerKernels,
  LayerLinear,
  LayerPass,
  LayerWeight,
} from '../ops/layerKernels';
import { elementCount, type Ops, type Tensor } from '../ops/ops';
import { dropoutForm, type Dropout } from './dropout';
import type { LayerWeights } from './layerWeights';
import { FEW_ROWS, type Linear } from './linear';
import { LoraBlock } from './loraBlock';
import { isNormTrained, type Norm } from './norm';
import { isPlainLayer, type LayerWithMlp } from './plainLayer';

/**
 * A layer in one pass that one operation computes forward, and another one backward, together with
 * layers beside it.
 */
export interface FusedLayer {
  readonly kernels: LayerKernels;
  readonly form: LayerForm;
  readonly tables: { readonly forward: Tensor; readonly backward: Tensor };
  readonly w: LayerWithMlp;
}

/** What its forward pass saved. */
export interface FusedSaved extends LayerPass {
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

/** The products of an operation, which takes some 40 milliseconds or is that of one layer. */
const PRODUCTS_TOGETHER = 2 ** 33;

const productsOf = ({ w }: FusedLayer, rows: number): number =>
  linearsOf(w).reduce((sum, { weight }) => sum + rows * elementCount(weight.shape), 0);

/**
 * Whether an operation of `count` layers like these computes both: what takes long on its own is
 * computed alone, so that others get their turn between the operations.
 */
export function areTogether(a: FusedLayer, b: FusedLayer, rows: number, count: number): boolean {
  return (
    a.form.attention.ids === b.form.attention.ids &&
    count * Math.max(productsOf(a, rows), productsOf(b, rows)) <= PRODUCTS_TOGETHER
  );
}

/** The output of each layer, and what its backward pass needs, which owns what the layer reads. */
export function fusedForward(
  layers: readonly FusedLayer[],
  x: Tensor,
): readonly { readonly y: Tensor; readonly saved: FusedSaved }[] {
  const { kernels } = layers[0]!;
  const rotated = layers.map(({ form, tables }) => ({ form, table: tables.forward }));
  const results = kernels.forward(rotated, x);
  return results.map(({ y, saved }, i) => {
    const input = results[i - 1]?.y ?? x;
    return { y, saved: { ...saved, x: input, layer: layers[i]! } };
  });
}

/** Frees what was saved, except for x unless `includeInput`. */
export const freeFused = (ops: Ops, { floats, halves, x }: FusedSaved, includeInput = true): void =>
  ops.free(floats, halves, ...(includeInput ? [x] : []));

/**
 * dy [n, d] of the last layer -> dx [n, d] of the first one, or null unless `wantsInput`.
 * Accumulates the gradients of the low-rank factors. Frees dy and what was saved.
 */
export async function fusedBackward(
  ops: Ops,
  saved: readonly FusedSaved[],
  { dy, wantsInput }: { readonly dy: Tensor; readonly wantsInput: boolean },
): Promise<Tensor | null> {
  const layers = saved.map(({ layer }) => layer);
  const { kernels, w } = layers[0]!;
  const wants = { input: wantsInput, attention: wantsInput || isMixerTrained(w.attention) };
  const rotated = layers.map(({ form, tables }) => ({ form, table: tables.backward }));
  const { dx, gradients } = kernels.backward(rotated, saved, { dy, wants });
  for (const own of saved) freeFused(ops, own);
  ops.free(dy);
  const linears = layers.flatMap((layer) => linearsOf(layer.w));
  const trained = linears.flatMap(({ lora }) => (lora?.trains ? [lora] : []));
  if (gradients) await LoraBlock.accumulateAll(ops, trained, gradients);
  return dx;
}
