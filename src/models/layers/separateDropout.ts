import { concatAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';
import { dropoutSeed, type Dropout } from './dropout';
import type { LoraBlock, LoraBlockPart } from './loraBlock';

interface DropoutComputation {
  readonly ops: Ops;
  readonly dropout: Dropout;
}

/** x Aᵀ [n, r] of what is left of x in f32 by libtensorflow. */
export function loraDownDropout(
  computation: DropoutComputation,
  lora: LoraBlock,
  x: Tensor,
): Tensor {
  const { ops } = computation;
  const parts = lora.parts.map((part) => {
    const A = factorA(ops, lora, part);
    const mask = dropoutMask(computation, part, x);
    if (!mask) return thenFree(ops, ops.matMul(x, A, false, true), A);
    const dropped = thenFree(ops, ops.mul(x, mask), mask);
    return thenFree(ops, ops.matMul(dropped, A, false, true), dropped, A);
  });
  return concatAndFree(ops, parts, 1);
}

/** The gradient of A [r, in], and the modules' terms of dx (none unless `wantsInput`). */
export function loraDownDropoutBackward(
  computation: DropoutComputation,
  lora: LoraBlock,
  { x, dxa }: { readonly x: Tensor; readonly dxa: Tensor },
  wantsInput: boolean,
): { readonly dA: Tensor; readonly dx: Tensor[] } {
  const { ops } = computation;
  const ranks = lora.parts.map((part) => part.module.r);
  const columns = ops.split(dxa, ranks, 1); // [n, r] of each module
  const dAs: Tensor[] = [];
  const dx: Tensor[] = [];
  lora.parts.forEach((part, i) => {
    const mask = dropoutMask(computation, part, x);
    const dropped = mask ? ops.mul(x, mask) : x;
    dAs.push(ops.matMul(columns[i]!, dropped, true));
    if (mask) ops.free(dropped);
    if (wantsInput) {
      const A = factorA(ops, lora, part);
      const dDropped = thenFree(ops, ops.matMul(columns[i]!, A), A);
      dx.push(mask ? thenFree(ops, ops.mul(dDropped, mask), dDropped) : dDropped);
    }
    if (mask) ops.free(mask);
  });
  ops.free(...columns);
  return { dA: concatAndFree(ops, dAs, 0), dx };
}

/** The rows of the block's A that belong to one module. [r, in] */
function factorA(ops: Ops, lora: LoraBlock, { module, rank }: LoraBlockPart): Tensor {
  return ops.slice(lora.A, [rank, 0], [module.r, lora.in_features]);
}

/** The mask of one module for x; null for a frozen module, which has no dropout. */
function dropoutMask(
  { ops, dropout }: DropoutComputation,
  { module }: LoraBlockPart,
  x: Tensor,
): Tensor | null {
  if (module.number === null) return null;
  return ops.dropoutMask(x.shape, dropout.rate, dropoutSeed(dropout, module.number));
}
