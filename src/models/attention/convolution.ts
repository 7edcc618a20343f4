import type { ModelInput } from '../model';
import {
  castAndFree,
  columnDots,
  columnSums,
  sumAndFree,
  thenFree,
  type Ops,
  type Tensor,
} from '../ops/ops';
import type { Heads } from '../ops/fusedOps';
import type { DenseWeight } from '../weightTensor';

// The short convolution of LFM2 in place of attention: of a product's three parts b, c and x,
// c · conv(b · x), with a causal convolution of each channel over the last few tokens.

export interface Convolution {
  readonly kernel: number;
  readonly weight: DenseWeight; // [d, 1, kernel]
  readonly bias: DenseWeight | null; // [d]
}

export const isConvolutionTrained = ({ weight, bias }: Convolution): boolean =>
  Boolean(weight.gradientSink ?? bias?.gradientSink);

/** Of the tokens 0, 1, ... before each: 1 where a token sees it, else 0; null: all that exist. */
export type Taps = readonly (Tensor | null)[]; // [n, 1]

/** Masks padding, which counts as zeros, and other segments; to be freed by the caller. */
export function uploadTaps(ops: Ops, input: ModelInput, kernel: number): Taps {
  const { batch, length, attention_mask, segment_ids } = input;
  const hasNoGaps = !segment_ids && !attention_mask.includes(0);
  return Array.from({ length: kernel }, (_, back) => {
    if (hasNoGaps) return null;
    const mask = new Float32Array(batch * length);
    for (let i = 0; i < mask.length; i++) {
      const isInRow = i % length >= back;
      const isOwn = !segment_ids || segment_ids[i] === segment_ids[i - back];
      mask[i] = isInRow && isOwn ? attention_mask[i - back]! : 0;
    }
    return ops.upload(mask, [batch * length, 1]);
  });
}

interface Pass {
  readonly ops: Ops;
  readonly shape: { readonly batch: number; readonly length: number };
  readonly taps: Taps;
}

/** b, c and x [n, d] of a product [n, 3 d], in f32. */
function partsOf(ops: Ops, product: Tensor): [Tensor, Tensor, Tensor] {
  const d = product.shape[1]! / 3;
  return ops.split(product, [d, d, d], 1) as [Tensor, Tensor, Tensor];
}

/**
 * What is kept of a product [n, 3 d], which is freed: itself, and what later tokens need, b · x, as
 * keys and values of half the width each.
 */
export function gatesOf({ ops, shape }: Pick<Pass, 'ops' | 'shape'>, product: Tensor): Heads {
  const q = castAndFree(ops, product, 'f32');
  const [b, c, x] = partsOf(ops, q);
  const u = thenFree(ops, ops.mul(b, x), b, c, x);
  const d = u.shape[1]!;
  const byRow = thenFree(ops, ops.reshape(u, [shape.batch, shape.length, d]), u);
  const [k, v] = ops.split(byRow, [Math.ceil(d / 2), Math.floor(d / 2)], 2) as [Tensor, Tensor];
  return { q, k, v: thenFree(ops, v, byRow) };
}

/** The input of the convolution again, from its halves. [batch, length, d] */
const inputOf = (ops: Ops, { k, v }: Pick<Heads, 'k' | 'v'>): Tensor => ops.concat([k, v], 2);

/** One row of the weight for each token back. [1, d] */
function rowsOf(ops: Ops, { weight, kernel }: Convolution): Tensor[] {
  const [d] = weight.shape as [number];
  const matrix = ops.reshape(weight.tensor, [d, kernel]);
  const rows = thenFree(ops, ops.transpose(matrix, [1, 0]), matrix);
  const parts = ops.split(rows, new Array<number>(kernel).fill(1), 0);
  ops.free(rows);
  return parts.reverse();
}

/** The tokens `back` places before, or after with a negative number; zeros beyond a row's ends. */
function moved(ops: Ops, u: Tensor, back: number): Tensor {
  const [batch, length, d] = u.shape as [number, number, number];
  const size = Math.abs(back);
  if (size >= length) return ops.upload(new Float32Array(batch * length * d), [batch * length, d]);
  const kept = ops.slice(u, [0, back > 0 ? 0 : size, 0], [batch, length - size, d]);
  const padded = thenFree(ops, ops.pad(kept, 1, Math.max(0, back), Math.max(0, -back)), kept);
  return thenFree(ops, ops.reshape(padded, [batch * length, d]), padded);
}

const masked = (ops: Ops, x: Tensor, mask: Tensor | null | undefined): Tensor =>
  mask ? thenFree(ops, ops.mul(x, mask), x) : x;

/** conv(u) [n, d] of u [batch, length, d], which is not freed. */
export function convolve({ ops, taps }: Pass, w: Convolution, u: Tensor): Tensor {
  const rows = rowsOf(ops, w);
  const terms = rows.map((row, back) => {
    const x = masked(ops, moved(ops, u, back), taps[back]);
    return thenFree(ops, ops.mul(x, row), x, row);
  });
  const sum = sumAndFree(ops, terms);
  return w.bias ? thenFree(ops, ops.add(sum, w.bias.tensor), sum) : sum;
}

/** c · conv(b · x) [n, d]. Frees nothing. */
export function convolutionForward(pass: Pass, w: Convolution, gates: Heads): Tensor {
  const { ops } = pass;
  const u = inputOf(ops, gates);
  const y = thenFree(ops, convolve(pass, w, u), u);
  const [b, c, x] = partsOf(ops, gates.q);
  return thenFree(ops, ops.mul(c, y), b, c, x, y);
}

/**
 * The gradient of the product [n, 3 d] for dO [n, d]. Accumulates the gradients of the trainable
 * parameters. Frees nothing.
 */
export async function convolutionBackward(
  pass: Pass,
  w: Convolution,
  gates: Heads,
  dO: Tensor,
): Promise<Tensor> {
  const { ops } = pass;
  const u = inputOf(ops, gates);
  const y = convolve(pass, w, u);
  const [b, c, x] = partsOf(ops, gates.q);
  const dC = thenFree(ops, ops.mul(dO, y), y);
  const dY = ops.mul(dO, c);
  const dU = await convolveBackward(pass, w, u, dY);
  const [dB, dX] = [ops.mul(dU, x), ops.mul(dU, b)];
  const parts = [dB, dC, dX];
  return thenFree(ops, ops.concat(parts, 1), ...parts, dU, dY, u, b, c, x);
}

/**
 * The gradient of u [n, d] for that of conv(u). Accumulates the gradients of the trainable
 * parameters. Frees nothing.
 */
export async function convolveBackward(
  pass: Pass,
  w: Convolution,
  u: Tensor,
  dY: Tensor,
): Promise<Tensor> {
  const { ops, shape, taps } = pass;
  if (isConvolutionTrained(w)) await accumulate(pass, w, u, dY);
  const terms = rowsOf(ops, w).map((row, back) => {
    const own = masked(ops, thenFree(ops, ops.mul(dY, row), row), taps[back]);
    const size = [shape.batch, shape.length, own.shape[1]!];
    const byRow = thenFree(ops, ops.reshape(own, size), own);
    return thenFree(ops, moved(ops, byRow, -back), byRow);
  });
  return sumAndFree(ops, terms);
}

async function accumulate(
  { ops, taps }: Pass,
  { weight, bias, kernel }: Convolution,
  u: Tensor,
  dY: Tensor,
): Promise<void> {
  if (bias?.gradientSink) await bias.gradientSink.accumulate(columnSums(ops, dY));
  if (!weight.gradientSink) return;
  const sums = Array.from({ length: kernel }, (_, i) => {
    const back = kernel - 1 - i;
    const x = masked(ops, moved(ops, u, back), taps[back]);
    return thenFree(ops, columnDots(ops, x, dY), x);
  });
  const rows = thenFree(ops, ops.concat(sums, 0), ...sums);
  await weight.gradientSink.accumulate(thenFree(ops, ops.transpose(rows, [1, 0]), rows));
}

/** The same for more tokens of one sequence, after those whose inputs are kept. [length, d] */
export function convolutionStep(
  { ops }: Pick<Pass, 'ops'>,
  w: Convolution,
  own: Pick<Heads, 'q'>,
  { k, v }: Pick<Heads, 'k' | 'v'>,
): Tensor {
  const length = own.q.shape[0]!;
  const from = Math.max(0, k.shape[1]! - length - (w.kernel - 1));
  const halves = [k, v].map((half) => {
    const [, count, width] = half.shape as [number, number, number];
    return ops.slice(half, [0, from, 0], [1, count - from, width]);
  });
  const u = thenFree(ops, ops.concat(halves, 2), ...halves);
  const [, all, d] = u.shape as [number, number, number];
  const pass = { ops, shape: { batch: 1, length: all }, taps: [] };
  const whole = thenFree(ops, convolve(pass, w, u), u);
  const y = thenFree(ops, ops.slice(whole, [all - length, 0], [length, d]), whole);
  const [b, c, x] = partsOf(ops, own.q);
  return thenFree(ops, ops.mul(c, y), b, c, x, y);
}
