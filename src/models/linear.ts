import type { AdapterState, LoraBlock } from './adapterState';
import { dropoutSeed, type Dropout } from './dropout';
import { join, use, type Ops, type Tensor } from './ops/types';

/** y = x Wᵀ + b, frozen, with the LoRA modules on it. */
export interface Linear {
  /** [out, in], as checkpoints store it */
  readonly weight: Tensor;
  /** [out] */
  readonly bias: Tensor | null;
  readonly lora: LoraBlock | null;
}

export interface LinearOutput {
  readonly y: Tensor; // [n, out]
  /** x Aᵀ, where there is LoRA: the only thing that the backward pass needs besides x. */
  readonly xa: Tensor | null; // [n, r]
}

/** y = x Wᵀ + b + x Aᵀ (sB)ᵀ + residual. */
export function linearForward(ops: Ops, layer: Linear, x: Tensor, dropout: Dropout | null, residual?: Tensor): LinearOutput {
  const terms = [ops.matMul(x, layer.weight, false, true)]; // [n, out]
  const xa = layer.lora && loraDown(ops, layer.lora, x, dropout);
  if (layer.lora && xa) terms.push(ops.matMul(xa, layer.lora.B, false, true));
  const sum = sumAndFree(ops, terms, residual);
  return { y: layer.bias ? use(ops, ops.add(sum, layer.bias), sum) : sum, xa };
}

/**
 * Gradients of A and B go to `state`; returns the terms whose sum is dx (none unless `wanted`).
 * dB = dyᵀ (x Aᵀ), dA = (dy B)ᵀ x, dx = dy W + (dy B) A.
 */
export async function linearBackward(
  ops: Ops, layer: Linear, state: AdapterState, dy: Tensor, x: Tensor | null, xa: Tensor | null, dropout: Dropout | null, wanted: boolean,
): Promise<Tensor[]> {
  const terms = wanted ? [ops.matMul(dy, layer.weight)] : []; // [n, in]
  const { lora } = layer;
  if (lora && x && xa) {
    const dxa = ops.matMul(dy, lora.B); // [n, r]
    const dB = ops.matMul(dy, xa, true); // [out, r]
    const { dA, dx } = loraDownBackward(ops, lora, x, dxa, dropout, wanted);
    state.accumulate(lora, await ops.download(dA), await ops.download(dB));
    ops.free(dxa, dB, dA);
    terms.push(...dx);
  }
  return terms;
}

/** x Aᵀ; with dropout each module drops its own share of x. */
function loraDown(ops: Ops, lora: LoraBlock, x: Tensor, dropout: Dropout | null): Tensor {
  if (!dropout) return ops.matMul(x, lora.A, false, true);
  const parts = lora.parts.map((part) => {
    const mask = ops.dropoutMask(x.shape, dropout.rate, dropoutSeed(dropout, part.module));
    const A = ops.slice(lora.A, [part.rank, 0], [part.factors.r, lora.in_features]);
    const dropped = use(ops, ops.mul(x, mask), mask);
    return use(ops, ops.matMul(dropped, A, false, true), dropped, A);
  });
  return join(ops, parts, 1);
}

function loraDownBackward(ops: Ops, lora: LoraBlock, x: Tensor, dxa: Tensor, dropout: Dropout | null, wanted: boolean): { dA: Tensor; dx: Tensor[] } {
  if (!dropout) return { dA: ops.matMul(dxa, x, true), dx: wanted ? [ops.matMul(dxa, lora.A)] : [] };
  const columns = ops.split(dxa, lora.parts.map((p) => p.factors.r), 1);
  const dAs: Tensor[] = [];
  const dx: Tensor[] = [];
  lora.parts.forEach((part, i) => {
    const mask = ops.dropoutMask(x.shape, dropout.rate, dropoutSeed(dropout, part.module));
    const dropped = ops.mul(x, mask);
    dAs.push(ops.matMul(columns[i]!, dropped, true));
    if (wanted) {
      const A = ops.slice(lora.A, [part.rank, 0], [part.factors.r, lora.in_features]);
      const through = ops.matMul(columns[i]!, A);
      dx.push(use(ops, ops.mul(through, mask), through, A));
    }
    ops.free(mask, dropped);
  });
  ops.free(...columns);
  return { dA: join(ops, dAs, 0), dx };
}

/** The sum of `terms`, which are freed, and of `kept`, which is not. */
export function sumAndFree(ops: Ops, terms: readonly Tensor[], kept?: Tensor): Tensor {
  const all = kept ? [...terms, kept] : terms;
  const [first, second] = all;
  if (first && !second) return first;
  const sum = first && second && all.length === 2 ? ops.add(first, second) : ops.addN(all);
  ops.free(...terms);
  return sum;
}
