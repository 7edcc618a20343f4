import { dropoutSeed, type Dropout } from './dropout';
import type { WeightTensor } from '../weightTensor';
import type { LoraBlock } from './loraBlock';
import {
  columnSums,
  concatAndFree,
  thenFree,
  withF32,
  type Ops,
  type Precision,
  type Tensor,
} from '../ops/ops';

/** y = x Wᵀ + b with the LoRA modules on it. */
export interface Linear {
  /** [out, in] */
  readonly weight: WeightTensor;
  /** [out] */
  readonly bias: WeightTensor | null;
  readonly lora: LoraBlock | null;
}

/** What the backward pass needs besides x. */
export interface LinearSaved {
  /** x Aᵀ [n, r] */
  readonly xa: Tensor | null;
  /** DoRA: the product before its factor and the bias. [n, out] */
  readonly z: Tensor | null;
}

export interface LinearOutput {
  readonly y: Tensor; // [n, out]
  readonly saved: LinearSaved;
}

/** Whether anything in it trains. */
export const isLinearTrained = ({ weight, bias, lora }: Linear): boolean =>
  Boolean(weight.gradientSink ?? bias?.gradientSink) || (lora?.trains ?? false);
/** Whether its gradients need its input. */
export const needsInput = ({ weight, lora }: Linear): boolean =>
  weight.gradientSink !== null || lora !== null;

export const savedTensors = ({ xa, z }: LinearSaved): Tensor[] => [xa, z].filter((t) => t !== null);

/**
 * Up to so many rows, a product is as fast as its weight comes from memory: what a token at a time
 * needs.
 */
const FEW_ROWS = 2;

/** x Wᵀ, or x W, in W's precision, to which x is brought; in f32 where there are few rows. */
export function matMulWeight(ops: Ops, x: Tensor, weight: Tensor, transposed: boolean): Tensor {
  const { fused } = ops;
  if (fused && transposed && x.shape[0]! <= FEW_ROWS)
    return withF32(ops, x, (wide) => fused.fewRows(wide, weight));
  if (x.dtype === weight.dtype) return ops.matMul(x, weight, false, transposed);
  const own = ops.cast(x, weight.dtype as Precision);
  return thenFree(ops, ops.matMul(own, weight, false, transposed), own);
}

/** What its products are taken in. */
export const weightPrecision = ({ weight }: Linear): Precision => weight.tensor.dtype as Precision;
/** What it reads best of so many rows. */
export const inputPrecision = (ops: Ops, layer: Linear, x: Tensor): Precision =>
  ops.fused && x.shape[0]! <= FEW_ROWS ? 'f32' : weightPrecision(layer);

/**
 * y = c ⊙ (x Wᵀ + x Aᵀ (sB)ᵀ) + b + residual, with DoRA's factor c or 1; in f32, in the weight's
 * precision or, where it is summed, in `dtype`.
 */
export function linearForward(
  ops: Ops,
  layer: Linear,
  x: Tensor,
  dropout: Dropout | null,
  residual: Tensor | null = null,
  dtype: Precision = 'f32',
): LinearOutput {
  const terms = [matMulWeight(ops, x, layer.weight.tensor, true)]; // [n, out]
  const { lora } = layer;
  const xa = lora && withF32(ops, x, (wide) => loraDown(ops, lora, wide, dropout));
  if (lora && xa) terms.push(matMulWeight(ops, xa, lora.B, true));
  const factor = lora?.factor;
  if (!factor)
    return {
      y: withBias(ops, layer, sumAndFree(ops, terms, residual, layer.bias ? 'f32' : dtype)),
      saved: { xa, z: null },
    };
  const z = sumAndFree(ops, terms);
  const y = ops.mul(z, factor);
  return {
    y: withBias(ops, layer, residual ? thenFree(ops, ops.add(y, residual), y) : y),
    saved: { xa, z },
  };
}

function withBias(ops: Ops, { bias }: Linear, y: Tensor): Tensor {
  return bias ? thenFree(ops, ops.add(y, bias.tensor), y) : y;
}

/**
 * Gradients of what trains; returns the terms whose sum is dx (none unless `wanted`). dB = dyᵀ (x
 * Aᵀ), dA = (dy B)ᵀ x, dW = dyᵀ x, dx = dy W + (dy B) A, each with c ⊙ dy for dy where there is
 * DoRA.
 */
export async function linearBackward(
  ops: Ops,
  layer: Linear,
  dy: Tensor,
  x: Tensor | null,
  saved: LinearSaved,
  dropout: Dropout | null,
  wanted: boolean,
): Promise<Tensor[]> {
  const { lora, weight, bias } = layer;
  if (bias?.gradientSink) await bias.gradientSink.accumulate(columnSums(ops, dy));
  if (lora?.factor && saved.z) await lora.accumulateMagnitudes(dy, saved.z);
  const dz = lora?.factor ? ops.mul(dy, lora.factor) : dy;
  const terms = wanted ? [matMulWeight(ops, dz, weight.tensor, false)] : []; // [n, in]
  if (x && needsInput(layer)) {
    const wide = dz.dtype === 'f32' ? dz : ops.cast(dz, 'f32');
    if (weight.gradientSink)
      await weight.gradientSink.accumulate(withF32(ops, x, (own) => ops.matMul(wide, own, true)));
    if (lora && saved.xa)
      terms.push(...(await loraBackward(ops, lora, wide, x, saved.xa, dropout, wanted)));
    if (wide !== dz) ops.free(wide);
  }
  if (dz !== dy) ops.free(dz);
  return terms;
}

async function loraBackward(
  ops: Ops,
  lora: LoraBlock,
  dz: Tensor,
  x: Tensor,
  xa: Tensor,
  dropout: Dropout | null,
  wanted: boolean,
): Promise<Tensor[]> {
  const dxa = ops.matMul(dz, lora.B); // [n, r]
  const dB = lora.trains ? ops.matMul(dz, xa, true) : null; // [out, r]
  const { dA, dx } = withF32(ops, x, (wide) =>
    loraDownBackward(ops, lora, wide, dxa, dropout, wanted),
  );
  if (dB) lora.accumulate(await ops.download(dA), await taken(ops, dB));
  ops.free(dxa, dA);
  return dx;
}

async function taken(ops: Ops, x: Tensor): Promise<Float32Array> {
  const data = await ops.download(x);
  ops.free(x);
  return data;
}

/** x Aᵀ; with dropout each module drops its own share of x. */
function loraDown(ops: Ops, lora: LoraBlock, x: Tensor, dropout: Dropout | null): Tensor {
  if (!dropout) return matMulWeight(ops, x, lora.A, true);
  const parts = lora.parts.map(({ module, rank }) => {
    const A = ops.slice(lora.A, [rank, 0], [module.r, lora.in_features]);
    if (module.number === null) return thenFree(ops, ops.matMul(x, A, false, true), A);
    const mask = ops.dropoutMask(x.shape, dropout.rate, dropoutSeed(dropout, module.number));
    const dropped = thenFree(ops, ops.mul(x, mask), mask);
    return thenFree(ops, ops.matMul(dropped, A, false, true), dropped, A);
  });
  return concatAndFree(ops, parts, 1);
}

function loraDownBackward(
  ops: Ops,
  lora: LoraBlock,
  x: Tensor,
  dxa: Tensor,
  dropout: Dropout | null,
  wanted: boolean,
): { dA: Tensor; dx: Tensor[] } {
  if (!dropout)
    return { dA: ops.matMul(dxa, x, true), dx: wanted ? [ops.matMul(dxa, lora.A)] : [] };
  const columns = ops.split(
    dxa,
    lora.parts.map((p) => p.module.r),
    1,
  );
  const dAs: Tensor[] = [];
  const dx: Tensor[] = [];
  lora.parts.forEach(({ module, rank }, i) => {
    const mask =
      module.number === null
        ? null
        : ops.dropoutMask(x.shape, dropout.rate, dropoutSeed(dropout, module.number));
    const dropped = mask ? ops.mul(x, mask) : x;
    dAs.push(ops.matMul(columns[i]!, dropped, true));
    if (mask) ops.free(dropped);
    if (wanted) {
      const A = ops.slice(lora.A, [rank, 0], [module.r, lora.in_features]);
      const through = thenFree(ops, ops.matMul(columns[i]!, A), A);
      dx.push(mask ? thenFree(ops, ops.mul(through, mask), through) : through);
    }
    if (mask) ops.free(mask);
  });
  ops.free(...columns);
  return { dA: concatAndFree(ops, dAs, 0), dx };
}

/**
 * The sum of `terms`, which are freed, and of `kept`, which is not, in f32 or in `dtype`; one term
 * alone stays as it is.
 */
export function sumAndFree(
  ops: Ops,
  terms: readonly Tensor[],
  kept: Tensor | null = null,
  dtype: Precision = 'f32',
): Tensor {
  const all = kept ? [...terms, kept] : terms;
  const [first, second] = all;
  if (first && !second) return first;
  if (ops.fused && all.length <= 3) return thenFree(ops, ops.fused.sum(all, dtype), ...terms);
  const sum = first && second && all.length === 2 ? ops.add(first, second) : ops.addN(all);
  ops.free(...terms);
  return sum;
}
