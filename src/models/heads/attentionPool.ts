import type { AttentionPoolSpec } from '../../formats/architecture/spec';
import { applyActivationWithSlope } from '../layers/activation';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  savedTensors,
  type Computation,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import {
  isNormTrained,
  normBackward,
  normForward,
  statsTensors,
  type Norm,
  type NormSaved,
} from '../layers/norm';
import { concatAndFree, sumAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';

/** The weights of an `AttentionPoolSpec`. All but the MLP and its norm are frozen. */
export interface AttentionPool {
  readonly spec: AttentionPoolSpec;
  /** Of the learned query, with its bias. */
  readonly query: Tensor; // [1, d]
  /** Of keys, then of values. */
  readonly kv: Tensor; // [2 d, d]
  readonly kv_bias: Tensor; // [2 d]
  readonly o: Tensor; // [d, d]
  readonly o_bias: Tensor; // [d]
  readonly norm: Norm;
  readonly up: Linear;
  readonly down: Linear;
}

export interface AttentionPoolSaved {
  readonly q: Tensor; // [batch · heads, 1, head_dim]
  readonly k: Tensor; // [batch · heads, n, head_dim]
  readonly v: Tensor; // [batch · heads, n, head_dim]
  readonly probabilities: Tensor; // [batch · heads, 1, n]
  readonly norm: NormSaved;
  readonly normed: Tensor; // [batch, d]
  readonly up: LinearSaved;
  readonly activated: Tensor; // [batch, inner]
  readonly slope: Tensor; // [batch, inner]
  readonly down: LinearSaved;
}

/** Whether something of it trains. */
export const isPoolTrained = ({ norm, up, down }: AttentionPool): boolean =>
  isNormTrained(norm) || isLinearTrained(up) || isLinearTrained(down);

export function freePoolSaved(ops: Ops, saved: AttentionPoolSaved): void {
  const { q, k, v, probabilities, norm, normed, up, activated, slope, down } = saved;
  const linears = [...savedTensors(up), ...savedTensors(down)];
  ops.free(q, k, v, probabilities, norm.x, ...statsTensors(norm.stats), normed, activated, slope);
  ops.free(...linears);
}

/** h [batch · n, d] -> y [batch, d]. Frees neither h nor what is saved. */
export function poolForward(
  computation: Computation,
  pool: AttentionPool,
  h: Tensor,
  batch: number,
): { readonly y: Tensor; readonly saved: AttentionPoolSaved } {
  const { ops } = computation;
  const d = h.shape[1]!;
  const [k, v] = keysAndValues(ops, pool, h, batch);
  const q = queries(ops, pool, batch);
  const head_dim = q.shape[2]!;
  const raw = ops.batchMatMul(q, k, false, true); // [batch · heads, 1, n]
  const scores = thenFree(ops, ops.scale(raw, 1 / Math.sqrt(head_dim)), raw);
  const probabilities = thenFree(ops, ops.softmax(scores), scores);
  const heads = ops.batchMatMul(probabilities, v); // [batch · heads, 1, head_dim]
  const joined = thenFree(ops, ops.reshape(heads, [batch, d]), heads);
  const product = thenFree(ops, ops.matMul(joined, pool.o, false, true), joined);
  const x = thenFree(ops, ops.add(product, pool.o_bias), product); // [batch, d]
  const { h: normed, stats } = normForward(ops, pool.norm, x);
  const up = linearForward(computation, pool.up, normed);
  const { y: activated, slope } = applyActivationWithSlope(ops, pool.spec.activation, up.y);
  ops.free(up.y);
  const down = linearForward(computation, pool.down, activated, { residual: x });
  return {
    y: down.y,
    saved: {
      ...{ q, k, v, probabilities, norm: { x, stats }, normed },
      ...{ up: up.saved, activated, slope, down: down.saved },
    },
  };
}

/** [batch · n, d] -> keys and values [batch · heads, n, head_dim]. */
function keysAndValues(
  ops: Ops,
  { spec, kv, kv_bias }: AttentionPool,
  h: Tensor,
  batch: number,
): [k: Tensor, v: Tensor] {
  const [rows, d] = h.shape as [number, number];
  const [n, heads] = [rows / batch, spec.num_heads];
  const product = ops.matMul(h, kv, false, true);
  const sum = thenFree(ops, ops.add(product, kv_bias), product); // [batch · n, 2 d]
  const parts = thenFree(ops, ops.reshape(sum, [batch, n, 2 * heads, d / heads]), sum);
  const byHead = thenFree(ops, ops.transpose(parts, [0, 2, 1, 3]), parts);
  const both = ops.split(byHead, [heads, heads], 1); // [batch, heads, n, head_dim]
  ops.free(byHead);
  const [k, v] = both.map((own) =>
    thenFree(ops, ops.reshape(own, [batch * heads, n, d / heads]), own),
  );
  return [k!, v!];
}

/** The query of each head, for each sequence. */
function queries(ops: Ops, { spec, query }: AttentionPool, batch: number): Tensor {
  const { num_heads: heads } = spec;
  const head_dim = query.shape[1]! / heads;
  const byHead = ops.reshape(query, [heads, 1, head_dim]);
  const all = Int32Array.from({ length: batch * heads }, (_, i) => i % heads);
  const indices = ops.upload(all, [all.length]);
  return thenFree(ops, ops.gather(byHead, indices), byHead, indices);
}

/**
 * Gradient of h [batch · n, d] for dy [batch, d]; null unless `wantsInput`. Accumulates the
 * gradients of the trainable parameters. Frees dy and what was saved.
 */
export async function poolBackward(
  computation: Computation,
  pool: AttentionPool,
  saved: AttentionPoolSaved,
  { dy, wantsInput }: { readonly dy: Tensor; readonly wantsInput: boolean },
): Promise<Tensor | null> {
  const { ops } = computation;
  const dActivated = sumAndFree(
    ops,
    await linearBackward(
      computation,
      pool.down,
      { dy, x: saved.activated, saved: saved.down },
      true,
    ),
  );
  const dUp = thenFree(ops, ops.mul(dActivated, saved.slope), dActivated);
  const gradient = { dy: dUp, x: saved.normed, saved: saved.up };
  const dh = sumAndFree(ops, await linearBackward(computation, pool.up, gradient, true));
  ops.free(dUp);
  const dx = await normBackward(ops, pool.norm, saved.norm, { dh, residual: dy });
  ops.free(dh, dy);
  const dInput = wantsInput ? attentionBackward(ops, pool, saved, dx) : null;
  ops.free(dx);
  freePoolSaved(ops, saved);
  return dInput;
}

/** Gradient of h for dx [batch, d]. Frees nothing. */
function attentionBackward(
  ops: Ops,
  { o, kv }: AttentionPool,
  { q, k, v, probabilities: p }: AttentionPoolSaved,
  dx: Tensor,
): Tensor {
  const [batch, d] = dx.shape as [number, number];
  const [rows, n, head_dim] = k.shape as [number, number, number];
  const dJoined = ops.matMul(dx, o);
  const dHeads = thenFree(ops, ops.reshape(dJoined, [rows, 1, head_dim]), dJoined);
  const dv = ops.batchMatMul(p, dHeads, true); // [batch · heads, n, head_dim]
  const dp = thenFree(ops, ops.batchMatMul(dHeads, v, false, true), dHeads);
  const ds = softmaxGradient(ops, p, dp);
  const scaled = thenFree(ops, ops.scale(ds, 1 / Math.sqrt(head_dim)), ds);
  const dk = thenFree(ops, ops.batchMatMul(scaled, q, true), scaled);
  const heads = rows / batch;
  const parts = [dk, dv].map((own) =>
    thenFree(ops, ops.reshape(own, [batch, heads, n, head_dim]), own),
  );
  const byHead = concatAndFree(ops, parts, 1); // [batch, 2 heads, n, head_dim]
  const byPosition = thenFree(ops, ops.transpose(byHead, [0, 2, 1, 3]), byHead);
  const dkv = thenFree(ops, ops.reshape(byPosition, [batch * n, 2 * d]), byPosition);
  return thenFree(ops, ops.matMul(dkv, kv), dkv);
}

/** p · (dp - the sum of p · dp). Frees dp. */
function softmaxGradient(ops: Ops, p: Tensor, dp: Tensor): Tensor {
  const products = ops.mul(p, dp);
  const sums = thenFree(ops, ops.sum(products), products);
  const centred = thenFree(ops, ops.sub(dp, sums), dp, sums);
  return thenFree(ops, ops.mul(p, centred), centred);
}
