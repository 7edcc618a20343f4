import type { AdapterState } from './adapterState';
import { attend, attendBackward, fromHeads, toHeads, type AttentionBlock, type AttentionShape, type Heads } from './attention';
import type { Dropout } from './dropout';
import { linearBackward, linearForward, sumAndFree, type Linear } from './linear';
import { normAgain, normBackward, normForward, type Norm } from './norm';
import { use, type Ops, type Tensor } from './ops/types';

export interface LayerWeights {
  readonly input_norm: Norm;
  /** q, k and v in one product, rotary pairs of q and k side by side */
  readonly qkv: Linear;
  readonly o: Linear;
  readonly post_norm: Norm;
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
  readonly window: number | null;
}

/** What the layers of one pass share. n = batch · length. */
export interface Pass {
  readonly shape: AttentionShape;
  readonly table: Tensor;
  readonly inverseTable: Tensor;
  readonly blocks: ReadonlyMap<number | null, readonly AttentionBlock[]>;
  readonly dropout: Dropout | null;
  /** Keep attention's probabilities for the backward pass instead of computing them again. */
  readonly keepProbabilities: boolean;
}

/** The rows that go on after the last layer's attention. */
export interface Rows {
  readonly indices: Tensor; // [m] of n
  /** For each of the n rows its place among the m, or m. */
  readonly inverse: Tensor; // [n]
}

/** What the backward pass needs of the forward pass. m = n, except in the last layer: there the labelled rows. */
export interface LayerSaved {
  readonly x: Tensor; // [n, d]
  readonly r: Tensor; // [n, 1]
  readonly heads: Heads;
  readonly o: Tensor; // [n, heads · head_dim]
  readonly probabilities: readonly Tensor[] | null;
  readonly x1: Tensor; // [m, d]
  readonly r1: Tensor; // [m, 1]
  readonly gate: Tensor; // [m, intermediate]
  readonly up: Tensor; // [m, intermediate]
  readonly xa: Readonly<Record<'qkv' | 'o' | 'gate' | 'up' | 'down', Tensor | null>>;
  readonly rows: Rows | null;
}

/** x [n, d] -> y [m, d]; takes x over: it is kept in `saved`, or freed where nothing is to be kept. */
export function layerForward(ops: Ops, w: LayerWeights, x: Tensor, pass: Pass, rows: Rows | null, keep: boolean): { y: Tensor; saved: LayerSaved | null } {
  const { heads, r, xa } = headsOf(ops, w, x, pass.shape, pass.table, pass.dropout);
  const { o, probabilities } = attend(ops, heads, pass.shape, pass.blocks.get(w.window)!, keep && pass.keepProbabilities);
  const oRows = rows ? ops.gather(o, rows.indices) : o;
  const xRows = rows ? ops.gather(x, rows.indices) : x;
  const rest = afterAttention(ops, w, oRows, xRows, pass.dropout);
  if (rows) ops.free(oRows, xRows);
  const { y, x1, r1, gate, up } = rest;
  const saved = { x, r, heads, o, probabilities, x1, r1, gate, up, rows, xa: { ...rest.xa, qkv: xa } };
  if (keep) return { y, saved };
  freeSaved(ops, saved);
  return { y, saved: null };
}

/** Keys and values of the tokens so far: [kv_heads, length, head_dim], one sequence. */
export interface LayerCache {
  readonly k: Tensor;
  readonly v: Tensor;
}

/** Like `layerForward` for a whole prompt, keeping its keys and values. */
export function layerPrefill(ops: Ops, w: LayerWeights, x: Tensor, pass: Pass, rows: Rows | null): { y: Tensor; cache: LayerCache } {
  const { y, saved } = layerForward(ops, w, x, pass, rows, true);
  const { k, v } = saved!.heads;
  freeSaved(ops, saved!, false);
  return { y, cache: { k, v } };
}

/** One more token: x [1, d] -> y [1, d]; takes x and the cache over, returns the longer cache. */
export function layerStep(ops: Ops, w: LayerWeights, x: Tensor, cache: LayerCache, shape: AttentionShape, table: Tensor): { y: Tensor; cache: LayerCache } {
  const { heads, r, xa } = headsOf(ops, w, x, shape, table, null);
  const k = use(ops, ops.concat([cache.k, heads.k], 1), cache.k, heads.k);
  const v = use(ops, ops.concat([cache.v, heads.v], 1), cache.v, heads.v);
  const to = k.shape[1]!;
  const from = w.window === null ? 0 : Math.max(0, to - w.window);
  const { o } = attend(ops, { q: heads.q, k, v }, shape, [{ start: 0, end: 1, from, to, mask: null }], false);
  const { y, x1, r1, gate, up, xa: others } = afterAttention(ops, w, o, x, null);
  ops.free(x, r, heads.q, o, x1, r1, gate, up, ...present([xa, ...Object.values(others)]));
  return { y, cache: { k, v } };
}

function headsOf(ops: Ops, w: LayerWeights, x: Tensor, shape: AttentionShape, table: Tensor, dropout: Dropout | null) {
  const { h, r } = normForward(ops, w.input_norm, x);
  const { y, xa } = linearForward(ops, w.qkv, h, dropout);
  const heads = toHeads(ops, y, shape, table);
  ops.free(h, y);
  return { heads, r, xa };
}

/** The output projection and the MLP, each with its residual: o [m, heads · head_dim] and x [m, d] -> y [m, d]. */
function afterAttention(ops: Ops, w: LayerWeights, o: Tensor, x: Tensor, dropout: Dropout | null) {
  const { y: x1, xa: oXa } = linearForward(ops, w.o, o, dropout, x);
  const { h, r: r1 } = normForward(ops, w.post_norm, x1);
  const gate = linearForward(ops, w.gate, h, dropout);
  const up = linearForward(ops, w.up, h, dropout);
  const m = use(ops, swiglu(ops, gate.y, up.y), h);
  const down = linearForward(ops, w.down, m, dropout, x1);
  ops.free(m);
  return { y: down.y, x1, r1, gate: gate.y, up: up.y, xa: { o: oXa, gate: gate.xa, up: up.xa, down: down.xa } };
}

export function freeSaved(ops: Ops, { x, r, heads, o, probabilities, x1, r1, gate, up, xa }: LayerSaved, keysToo = true): void {
  ops.free(x, r, heads.q, o, ...(probabilities ?? []), x1, r1, gate, up, ...(keysToo ? [heads.k, heads.v] : []), ...present(Object.values(xa)));
}

const present = (tensors: readonly (Tensor | null)[]): Tensor[] => tensors.filter((t) => t !== null);

/** dy [m, d] -> dx [n, d], or null where nothing below needs it. Takes dy and `saved` over; gradients of the adapter go to `state`. */
export async function layerBackward(
  ops: Ops, w: LayerWeights, state: AdapterState, dy: Tensor, saved: LayerSaved, pass: Pass, wanted: boolean,
): Promise<Tensor | null> {
  const wantedHeads = wanted || w.qkv.lora !== null;
  const dx1 = await mlpBackward(ops, w, state, dy, saved, pass, wantedHeads || w.o.lora !== null);
  const dx = dx1 && (await attentionBackward(ops, w, state, dx1, saved, pass, wanted, wantedHeads));
  freeSaved(ops, saved);
  return dx;
}

/** Gradient of x1 [m, d]; takes dy over. */
async function mlpBackward(
  ops: Ops, w: LayerWeights, state: AdapterState, dy: Tensor, saved: LayerSaved, { dropout }: Pass, wanted: boolean,
): Promise<Tensor | null> {
  const { gate, up, x1, r1, xa } = saved;
  const wantedGates = wanted || w.gate.lora !== null || w.up.lora !== null;
  const s = ops.sigmoid(gate);
  const silu = ops.mul(s, gate);
  const m = w.down.lora && ops.mul(silu, up);
  const terms = await linearBackward(ops, w.down, state, dy, m, xa.down, dropout, wantedGates);
  if (m) ops.free(m);
  if (!wantedGates) {
    ops.free(s, silu, dy);
    return null;
  }
  const dm = sumAndFree(ops, terms); // [m, intermediate]
  const dUp = use(ops, ops.mul(dm, silu), silu);
  const dSilu = use(ops, ops.mul(dm, up), dm);
  const bend = ops.sigmoidGrad(s, gate);
  const curve = use(ops, ops.add(s, bend), s, bend); // d silu(g) / dg = s + g · s · (1 - s)
  const dGate = use(ops, ops.mul(dSilu, curve), dSilu, curve);
  const h1 = w.gate.lora || w.up.lora ? normAgain(ops, w.post_norm, x1, r1) : null;
  const dh1 = [
    ...(await linearBackward(ops, w.gate, state, dGate, h1, xa.gate, dropout, wanted)),
    ...(await linearBackward(ops, w.up, state, dUp, h1, xa.up, dropout, wanted)),
  ];
  ops.free(dGate, dUp);
  if (h1) ops.free(h1);
  const dx1 = wanted ? normBackward(ops, w.post_norm, x1, r1, sumAndFree(ops, dh1), dy) : null;
  ops.free(dy);
  return dx1;
}

/** Gradient of x [n, d]; takes dx1 [m, d] over. */
async function attentionBackward(
  ops: Ops, w: LayerWeights, state: AdapterState, dx1: Tensor, saved: LayerSaved, pass: Pass, wanted: boolean, wantedHeads: boolean,
): Promise<Tensor | null> {
  const { x, r, o, heads, xa, rows } = saved;
  const oRows = rows && w.o.lora ? ops.gather(o, rows.indices) : o;
  const terms = await linearBackward(ops, w.o, state, dx1, oRows, xa.o, pass.dropout, wantedHeads);
  if (oRows !== o) ops.free(oRows);
  if (!wantedHeads) {
    ops.free(dx1);
    return null;
  }
  const dO = spread(ops, sumAndFree(ops, terms), rows);
  const dHeads = attendBackward(ops, heads, saved, dO, pass.shape, pass.blocks.get(w.window)!);
  const dQkv = use(ops, fromHeads(ops, dHeads, pass.shape, pass.inverseTable), dO);
  const h = w.qkv.lora ? normAgain(ops, w.input_norm, x, r) : null;
  const dh = await linearBackward(ops, w.qkv, state, dQkv, h, xa.qkv, pass.dropout, wanted);
  ops.free(dQkv);
  if (h) ops.free(h);
  const residual = spread(ops, dx1, rows);
  const dx = wanted ? normBackward(ops, w.input_norm, x, r, sumAndFree(ops, dh), residual) : null;
  ops.free(residual);
  return dx;
}

/** silu(gate) · up */
function swiglu(ops: Ops, gate: Tensor, up: Tensor): Tensor {
  const s = ops.sigmoid(gate);
  const silu = use(ops, ops.mul(s, gate), s);
  return use(ops, ops.mul(silu, up), silu);
}

/** [m, d] -> [n, d], zero where a row was left out; takes x over. */
function spread(ops: Ops, x: Tensor, rows: Rows | null): Tensor {
  if (!rows) return x;
  const padded = use(ops, ops.pad(x, 0, 0, 1), x);
  return use(ops, ops.gather(padded, rows.inverse), padded);
}
