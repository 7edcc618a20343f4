import type { Products } from '../../shared/products';
import {
  columnSums,
  downloadAndFree,
  sumAndFree,
  thenFree,
  withF32,
  type Ops,
  type Precision,
  type Tensor,
} from '../ops/ops';
import type { FusedOps } from '../ops/fusedOps';
import type { DenseWeight, WeightTensor } from '../weightTensor';
import type { ExpertCounter } from './expertCounts';
import { dropoutForm, type Dropout } from './dropout';
import { LoraBlock } from './loraBlock';
import { loraDownDropout, loraDownDropoutBackward } from './separateDropout';

/** The settings of a forward pass and its backward pass. */
export interface Computation {
  readonly ops: Ops;
  readonly dropout: Dropout | null;
  /**
   * For generation: how few rows are multiplied by quantized matrices, from their blocks. Elsewhere
   * they are by the numbers in the precision of products, as many rows are. Default: null.
   */
  readonly products?: Products | null;
  /** Counts the choices of mixtures. Default: null. */
  readonly expertCounter?: ExpertCounter | null;
}

/** y = x Wᵀ + b, with the LoRA modules on it. */
export interface Linear {
  readonly weight: WeightTensor; // [out, in]
  readonly bias: DenseWeight | null; // [out]
  readonly lora: LoraBlock | null;
}

/** What the backward pass needs besides x. */
export interface LinearSaved {
  /** x Aᵀ */
  readonly xa: Tensor | null; // [n, r]
  /** DoRA: the product before its factor and the bias. */
  readonly z: Tensor | null; // [n, out]
}

export interface LinearOutput {
  readonly y: Tensor; // [n, out]
  readonly saved: LinearSaved;
}

/** Whether its weight, bias or LoRA modules train. */
export const isLinearTrained = ({ weight, bias, lora }: Linear): boolean =>
  Boolean(weight.gradientSink ?? bias?.gradientSink) || (lora?.trains ?? false);

/** Whether its gradients need its input. */
export const needsInput = ({ weight, lora }: Linear): boolean =>
  weight.gradientSink !== null || lora !== null;

export const savedTensors = ({ xa, z }: LinearSaved): Tensor[] => [xa, z].filter((t) => t !== null);

/** Up to this many rows, the time of a product is about that of reading its weight from memory. */
export const FEW_ROWS = 8;

/** The kernel of products, where it takes less time than libtensorflow's with this weight. */
const kernelFor = (ops: Ops, { dtype }: Pick<Tensor, 'dtype'>): FusedOps | null =>
  ops.fused?.prefersProduct && dtype === 'bf16' ? ops.fused : null;

/**
 * x Wᵀ (`transposed`) or x W, in the precision of W, to which x is converted; in f32 for few rows.
 * Frees neither.
 */
export function matMulWeight(ops: Ops, x: Tensor, weight: Tensor, transposed: boolean): Tensor {
  const { fused } = ops;
  if (fused && transposed && x.shape[0]! <= FEW_ROWS) {
    return withF32(ops, x, (wide) => fused.fewRows(wide, weight));
  }
  const kernel = kernelFor(ops, weight);
  if (kernel) return kernel.product(x, weight, { transposeB: transposed, dtype: 'bf16' });
  if (x.dtype === weight.dtype) return ops.matMul(x, weight, false, transposed);
  const converted = ops.cast(x, weight.dtype as Precision);
  return thenFree(ops, ops.matMul(converted, weight, false, transposed), converted);
}

/** The same with a weight of the base. */
export function matMulBase(
  { ops, products = null }: Computation,
  x: Tensor,
  weight: WeightTensor,
  transposed: boolean,
): Tensor {
  const { quantized, dtype } = weight;
  const takesBlocks = products !== null || dtype === 'f32';
  const ofFewRows = transposed && x.shape[0]! <= FEW_ROWS;
  if (quantized && takesBlocks && ofFewRows)
    return withF32(ops, x, (wide) => quantized.fewRows(wide, products ?? 'exact'));
  const { fused } = ops;
  if (fused && products === 'rounded' && ofFewRows)
    return withF32(ops, x, (wide) => weight.use((own) => fused.fewRows(wide, own, products)));
  return weight.use((numbers) => matMulWeight(ops, x, numbers, transposed));
}

/** The precision of its products. */
export const weightPrecision = ({ weight }: Linear): Precision => weight.dtype;

/** The precision in which it reads an input with as many rows as x without a conversion. */
export const inputPrecision = (ops: Ops, layer: Linear, x: Tensor): Precision =>
  ops.fused && x.shape[0]! <= FEW_ROWS ? 'f32' : weightPrecision(layer);

/** What is added to a product, and the precision of a sum. */
interface ForwardOptions {
  readonly residual?: Tensor | null;
  readonly dtype?: Precision;
}

/**
 * y = c ⊙ (x Wᵀ + x Aᵀ (sB)ᵀ) + b + residual, with DoRA's factor c or 1 (Hu et al. 2021; Liu et al.
 * 2024). y is in f32, in the weight's precision or, if it is a sum, in `dtype`. The caller frees y,
 * what was saved, x and the residual.
 */
export function linearForward(
  computation: Computation,
  layer: Linear,
  x: Tensor,
  { residual = null, dtype = 'f32' }: ForwardOptions = {},
): LinearOutput {
  const { ops, dropout } = computation;
  const { lora } = layer;
  const xa = lora && loraDown(ops, lora, x, dropout); // [n, r]
  const options = { residual, dtype: layer.bias ? 'f32' : dtype } as const;
  const kernel = x.shape[0]! > FEW_ROWS && !lora?.factor && kernelFor(ops, layer.weight);
  if (kernel) {
    const y = kernelForward(kernel, layer, { x, xa }, options);
    return { y: addBias(ops, layer, y), saved: { xa, z: null } };
  }
  const terms = [matMulBase(computation, x, layer.weight, true)]; // [n, out]
  if (lora && xa) terms.push(matMulWeight(ops, xa, lora.B, true));
  const factor = lora?.factor;
  if (!factor) {
    const sum = sumAndFree(ops, terms, residual, options.dtype);
    return { y: addBias(ops, layer, sum), saved: { xa, z: null } };
  }
  const z = sumAndFree(ops, terms);
  const scaled = ops.mul(z, factor);
  const sum = residual ? thenFree(ops, ops.add(scaled, residual), scaled) : scaled;
  return { y: addBias(ops, layer, sum), saved: { xa, z } };
}

/** The product, LoRA's and the residual in one operation. [n, out] */
function kernelForward(
  kernel: FusedOps,
  { weight, lora }: Linear,
  { x, xa }: { readonly x: Tensor; readonly xa: Tensor | null },
  { residual, dtype }: Required<ForwardOptions>,
): Tensor {
  const low = lora && xa && { p: xa, q: lora.B };
  const isSum = low !== null || residual !== null;
  const form = { transposeB: true, dtype: isSum ? dtype : 'bf16', low, residual } as const;
  return weight.use((numbers) => kernel.product(x, numbers, form));
}

/** Frees y if there is a bias. */
function addBias(ops: Ops, { bias }: Linear, y: Tensor): Tensor {
  return bias ? thenFree(ops, ops.add(y, bias.tensor), y) : y;
}

/** What the backward pass of a linear layer starts from. */
export interface LinearGradient {
  readonly dy: Tensor; // [n, out]
  /** The layer's input; null if its gradients do not need it. */
  readonly x: Tensor | null; // [n, in]
  readonly saved: LinearSaved;
  /** Of dx, where it is one sum. Default: f32. */
  readonly dtype?: Precision;
}

/**
 * Accumulates the gradients of the trainable parameters, and returns the terms whose sum is dx
 * (none unless `wantsInput`), which the caller frees: dB = dyᵀ (x Aᵀ), dA = (dy B)ᵀ x, dW = dyᵀ x,
 * dx = dy W + (dy B) A, with c ⊙ dy instead of dy for DoRA. Frees none of its inputs.
 */
export async function linearBackward(
  computation: Computation,
  layer: Linear,
  gradient: LinearGradient,
  wantsInput: boolean,
): Promise<Tensor[]> {
  const { ops } = computation;
  const { lora, bias } = layer;
  const { dy, saved } = gradient;
  if (bias?.gradientSink) await bias.gradientSink.accumulate(columnSums(ops, dy));
  if (lora?.factor && saved.z) await lora.accumulateMagnitudes(dy, saved.z);
  const dz = lora?.factor ? ops.mul(dy, lora.factor) : dy;
  const terms =
    (await kernelBackward(computation, layer, { ...gradient, dy: dz }, wantsInput)) ??
    (await plainBackward(computation, layer, { ...gradient, dy: dz }, wantsInput));
  if (dz !== dy) ops.free(dz);
  return terms;
}

async function plainBackward(
  computation: Computation,
  layer: Linear,
  gradient: LinearGradient,
  wantsInput: boolean,
): Promise<Tensor[]> {
  const { ops } = computation;
  const { dy } = gradient;
  const terms = wantsInput ? [matMulBase(computation, dy, layer.weight, false)] : []; // [n, in]
  if (gradient.x && needsInput(layer)) {
    const wide = dy.dtype === 'f32' ? dy : ops.cast(dy, 'f32');
    terms.push(
      ...(await weightBackward(computation, layer, { ...gradient, dy: wide }, wantsInput)),
    );
    if (wide !== dy) ops.free(wide);
  }
  return terms;
}

/** By the kernel of products: dx is one sum, and no tensor is widened. Null: not for this layer. */
async function kernelBackward(
  { ops, dropout }: Computation,
  { lora, weight }: Linear,
  { dy, x, saved: { xa }, dtype = 'f32' }: LinearGradient,
  wantsInput: boolean,
): Promise<Tensor[] | null> {
  const kernel = kernelFor(ops, weight);
  if (!kernel || !lora || !x || !xa || weight.gradientSink) return null;
  const dropped = dropout && dropoutForm(dropout, lora);
  if (dropped) {
    const low = { dy, b: lora.B, x, xa, a: lora.A, dropout: dropped, wantsInput };
    const { dx: residual, gradients } = kernel.droppedGradients(low);
    const dx = residual && weight.use((own) => kernel.product(dy, own, { dtype, residual }));
    await LoraBlock.accumulateAll(ops, [lora], gradients);
    if (residual) ops.free(residual);
    return dx ? [dx] : [];
  }
  const { dxa, gradients } = lora.trains
    ? kernel.lowGradients({ dy, b: lora.B, x, xa })
    : { dxa: kernel.product(dy, lora.B, { dtype: 'f32', exact: true }), gradients: null };
  const form = { dtype, low: { p: dxa, q: lora.A } };
  const dx = wantsInput ? [weight.use((own) => kernel.product(dy, own, form))] : [];
  if (gradients) await LoraBlock.accumulateAll(ops, [lora], gradients);
  ops.free(dxa);
  return dx;
}

/** The gradients of the weight and of the LoRA modules, and the modules' terms of dx. */
async function weightBackward(
  computation: Computation,
  { weight, lora }: Linear,
  { dy, x, saved }: LinearGradient,
  wantsInput: boolean,
): Promise<Tensor[]> {
  const { ops } = computation;
  if (!x) return [];
  if (weight.gradientSink) {
    const { rows } = weight.gradientSink;
    const trained = rows ? columnsAt(ops, dy, rows) : dy;
    const dW = withF32(ops, x, (wide) => ops.matMul(trained, wide, true)); // [out or rows, in]
    if (trained !== dy) ops.free(trained);
    await weight.gradientSink.accumulate(dW);
  }
  if (!lora || !saved.xa) return [];
  return loraBackward(computation, lora, { dy, x, xa: saved.xa }, wantsInput);
}

/** Some columns of x [n, m], in f32. */
function columnsAt(ops: Ops, x: Tensor, columns: Int32Array): Tensor {
  const n = x.shape[0]!;
  const numbers = new Int32Array(2 * n * columns.length);
  for (let row = 0; row < n; row++)
    columns.forEach((column, i) => numbers.set([row, column], 2 * (row * columns.length + i)));
  const places = ops.upload(numbers, [n * columns.length, 2]);
  const found = thenFree(ops, ops.gatherElements(x, places), places);
  return thenFree(ops, ops.reshape(found, [n, columns.length]), found);
}

async function loraBackward(
  { ops, dropout }: Computation,
  lora: LoraBlock,
  { dy, x, xa }: { readonly dy: Tensor; readonly x: Tensor; readonly xa: Tensor },
  wantsInput: boolean,
): Promise<Tensor[]> {
  const dxa = ops.matMul(dy, lora.B); // [n, r]
  const dB = lora.trains ? ops.matMul(xa, dy, true) : null; // [r, out]
  const { dA, dx } = withF32(ops, x, (wide) =>
    dropout
      ? loraDownDropoutBackward({ ops, dropout }, lora, { x: wide, dxa }, wantsInput)
      : {
          dA: ops.matMul(dxa, wide, true), // [r, in]
          dx: wantsInput ? [ops.matMul(dxa, lora.A)] : [],
        },
  );
  if (dB) lora.accumulate(await ops.download(dA), await downloadAndFree(ops, dB));
  ops.free(dxa, dA);
  return dx;
}

/** x Aᵀ [n, r]; with dropout each module has a mask of its own. */
function loraDown(ops: Ops, lora: LoraBlock, x: Tensor, dropout: Dropout | null): Tensor {
  const kernel = x.shape[0]! > FEW_ROWS ? kernelFor(ops, x) : null;
  if (kernel) {
    const dropped = dropout && dropoutForm(dropout, lora);
    return dropped
      ? kernel.dropped(x, lora.A, dropped)
      : kernel.product(x, lora.A, { transposeB: true, dtype: 'f32' });
  }
  return withF32(ops, x, (wide) =>
    dropout ? loraDownDropout({ ops, dropout }, lora, wide) : matMulWeight(ops, wide, lora.A, true),
  );
}
