import { Scope } from '../ops/scope';
import { concatAndFree, sumAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';
import { inverseOfUnit, withMask, type Chunks } from './chunks';

// The gated delta rule (Yang et al. 2025): the state S [key width, value width] of a head becomes,
// with each token's key k, value v, decay g ≤ 0 and rate β,
//
//   S ← exp(g) (S - β k (kᵀ S)) + β k vᵀ,   and its output is qᵀ S.
//
// In chunks (Yang et al. 2024): with the sums c of g within a chunk and D = exp(cᵢ - cⱼ) for j ≤ i,
// the new values are V' = (I + L)⁻¹ (β V - β exp(c) K S) with L = β K Kᵀ ⊙ D below the diagonal,
// the outputs are exp(c) Q S + (Q Kᵀ ⊙ D) V', and the state becomes exp(c_last) S +
// (exp(c_last - c) K)ᵀ V'.

/** Of the tokens in chunks. m = chunks · heads · batch, c = tokens of a chunk. */
export interface DeltaInputs {
  readonly q: Tensor; // [m, c, key width]
  readonly k: Tensor; // [m, c, key width]
  readonly v: Tensor; // [m, c, value width]
  /** β */
  readonly rate: Tensor; // [m, c, 1]
  /** g */
  readonly decay: Tensor; // [m, c, 1]
}

/** What a chunk's tokens are multiplied with; nothing of it depends on the state. */
interface Products {
  /** exp(c), from the chunk's start. */
  readonly fromStart: Tensor; // [m, c, 1]
  /** exp(c_last - c) */
  readonly toEnd: Tensor; // [m, c, 1]
  /** exp(c_last) */
  readonly whole: Tensor; // [m, 1, 1]
  /** D */
  readonly pairs: Tensor; // [m, c, c]
  /** K Kᵀ */
  readonly keys: Tensor; // [m, c, c]
  readonly L: Tensor; // [m, c, c]
  /** (I + L)⁻¹ */
  readonly inverse: Tensor; // [m, c, c]
  /** Q Kᵀ ⊙ D */
  readonly attention: Tensor; // [m, c, c]
  /** exp(c) Q */
  readonly qStart: Tensor; // [m, c, key width]
  /** exp(c) K */
  readonly kStart: Tensor; // [m, c, key width]
  /** exp(c_last - c) K */
  readonly kEnd: Tensor; // [m, c, key width]
  /** (I + L)⁻¹ β V */
  readonly own: Tensor; // [m, c, value width]
  /** (I + L)⁻¹ β exp(c) K */
  readonly seen: Tensor; // [m, c, key width]
}

/** The chunks one after another, each [heads · batch, ...]. */
interface Scan {
  readonly outputs: Tensor[];
  /** V' */
  readonly values: Tensor[];
  /** At the start of each chunk, and after the last one. */
  readonly states: Tensor[];
}

/** Outputs [m, c, value width], and the state after the last token. Frees no input. */
export function deltaRule(
  ops: Ops,
  chunks: Chunks,
  inputs: DeltaInputs,
  /** [heads · batch, key width, value width]; null: zeros. */
  state: Tensor | null,
): { readonly o: Tensor; readonly state: Tensor } {
  const scope = new Scope(ops);
  const products = multiply(ops, scope, chunks, inputs);
  const { outputs, values, states } = scan(ops, chunks, products, state);
  scope.free();
  ops.free(...values, ...states.slice(0, -1));
  return { o: concatAndFree(ops, outputs, 0), state: states.at(-1)! };
}

function multiply(ops: Ops, { own }: Scope, chunks: Chunks, inputs: DeltaInputs): Products {
  const { q, k, v, rate, decay } = inputs;
  const factors = decayFactors(ops, own, chunks, decay);
  const { fromStart, toEnd, pairs } = factors;
  const keys = own(ops.batchMatMul(k, k, false, true));
  const decayed = thenMul(ops, ops.mul(keys, pairs), rate);
  const L = own(thenMul(ops, decayed, chunks.before));
  const inverse = own(inverseOfUnit(ops, L, chunks));
  const kStart = own(ops.mul(k, fromStart));
  const solved = (x: Tensor) => thenFree(ops, ops.batchMatMul(inverse, x), x);
  return {
    ...factors,
    ...{ keys, L, inverse, kStart },
    attention: own(thenMul(ops, ops.batchMatMul(q, k, false, true), pairs)),
    qStart: own(ops.mul(q, fromStart)),
    kEnd: own(ops.mul(k, toEnd)),
    own: own(solved(ops.mul(v, rate))),
    seen: own(solved(ops.mul(kStart, rate))),
  };
}

/** x times y; x is freed. */
const thenMul = (ops: Ops, x: Tensor, y: Tensor): Tensor => thenFree(ops, ops.mul(x, y), x);

/** exp of sums of decays. */
function decayFactors(
  ops: Ops,
  own: Scope['own'],
  chunks: Chunks,
  decay: Tensor,
): Pick<Products, 'fromStart' | 'toEnd' | 'whole' | 'pairs'> {
  const [m, size] = decay.shape as [number, number];
  const { segments, causal } = chunks;
  const flat = own(ops.reshape(decay, [m, size]));
  const sums = own(ops.matMul(flat, chunks.sums));
  const column = own(ops.reshape(sums, [m, size, 1]));
  const row = own(ops.reshape(sums, [m, 1, size]));
  const last = own(ops.slice(column, [0, size - 1, 0], [m, 1, 1]));
  const masked = (x: Tensor, mask: Tensor | undefined) =>
    mask ? own(withMask(ops, 'mul', x, mask)) : x;
  const distance = ops.sub(column, row);
  const hidden = thenFree(ops, withMask(ops, 'add', distance, causal), distance);
  return {
    fromStart: masked(own(ops.exp(column)), segments?.carried),
    toEnd: masked(own(ops.exp(own(ops.sub(last, column)))), segments?.ending),
    whole: masked(own(ops.exp(last)), segments?.whole),
    pairs: own(thenFree(ops, ops.exp(hidden), hidden)),
  };
}

/** One chunk of x [n · heads · batch, ...], which the caller frees. */
function chunkOf(ops: Ops, { count }: Chunks, x: Tensor, i: number): Tensor {
  const [all, ...rest] = x.shape as [number, ...number[]];
  const size = all / count;
  return ops.slice(x, [i * size, ...rest.map(() => 0)], [size, ...rest]);
}

function scan(ops: Ops, chunks: Chunks, products: Products, state: Tensor | null): Scan {
  const { own, seen, attention, qStart, kEnd, whole } = products;
  const [outputs, values]: [Tensor[], Tensor[]] = [[], []];
  const states = [state ? ops.reshape(state, state.shape) : zeroState(ops, chunks, kEnd, own)];
  for (let i = 0; i < chunks.count; i++) {
    const scope = new Scope(ops);
    const cut = (x: Tensor) => scope.own(chunkOf(ops, chunks, x, i));
    const S = states[i]!;
    const read = scope.own(ops.batchMatMul(cut(seen), S));
    const value = ops.sub(cut(own), read);
    const terms = [ops.batchMatMul(cut(qStart), S), ops.batchMatMul(cut(attention), value)];
    outputs.push(sumAndFree(ops, terms));
    values.push(value);
    const kept = ops.mul(S, cut(whole));
    states.push(sumAndFree(ops, [kept, ops.batchMatMul(cut(kEnd), value, true)]));
    scope.free();
  }
  return { outputs, values, states };
}

function zeroState(ops: Ops, { count }: Chunks, keys: Tensor, values: Tensor): Tensor {
  const size = [keys.shape[0]! / count, keys.shape[2]!, values.shape[2]!];
  return ops.upload(new Float32Array(size.reduce((a, b) => a * b)), size);
}

/** Gradients of the inputs for that of the outputs, from a state of zeros. Frees none of them. */
export function deltaRuleBackward(
  ops: Ops,
  chunks: Chunks,
  inputs: DeltaInputs,
  dO: Tensor,
): DeltaInputs {
  const scope = new Scope(ops);
  const products = multiply(ops, scope, chunks, inputs);
  const { outputs, values, states } = scan(ops, chunks, products, null);
  ops.free(...outputs, states.pop()!);
  const { dValues, dStates } = scanBackward(ops, chunks, products, dO);
  const together = (parts: Tensor[]) => scope.own(concatAndFree(ops, parts, 0));
  const scanned = {
    values: together(values),
    states: together(states),
    dValues: together(dValues),
    dStates: together(dStates),
  };
  const gradients = multiplyBackward({ ops, scope, chunks }, inputs, products, {
    ...scanned,
    dO,
  });
  scope.free();
  return gradients;
}

/** Gradients of V' and of the state at the end of each chunk. */
function scanBackward(
  ops: Ops,
  chunks: Chunks,
  products: Products,
  dO: Tensor,
): { readonly dValues: Tensor[]; readonly dStates: Tensor[] } {
  const { attention, kEnd, qStart, seen, whole } = products;
  const dStates = [zeroState(ops, chunks, kEnd, dO)];
  const dValues: Tensor[] = [];
  for (let i = chunks.count - 1; i >= 0; i--) {
    const scope = new Scope(ops);
    const cut = (x: Tensor) => scope.own(chunkOf(ops, chunks, x, i));
    const [d, dS] = [cut(dO), dStates[0]!];
    const terms = [ops.batchMatMul(cut(attention), d, true), ops.batchMatMul(cut(kEnd), dS)];
    const dValue = sumAndFree(ops, terms);
    dValues.unshift(dValue);
    if (i > 0) {
      const read = scope.own(ops.batchMatMul(cut(seen), dValue, true));
      const parts = [ops.mul(dS, cut(whole)), ops.batchMatMul(cut(qStart), d, true)];
      dStates.unshift(ops.sub(scope.own(sumAndFree(ops, parts)), read));
    }
    scope.free();
  }
  return { dValues, dStates };
}

/** Of all chunks. */
interface Scanned {
  readonly dO: Tensor; // [m, c, value width]
  readonly values: Tensor; // [m, c, value width]
  readonly dValues: Tensor; // [m, c, value width]
  /** At the start of each chunk. */
  readonly states: Tensor; // [m, key width, value width]
  /** At the end of each chunk. */
  readonly dStates: Tensor; // [m, key width, value width]
}

interface Backward {
  readonly ops: Ops;
  readonly scope: Scope;
  readonly chunks: Chunks;
}

function multiplyBackward(
  { ops, scope: { own }, chunks }: Backward,
  { q, k, v, rate }: DeltaInputs,
  p: Products,
  { dO, values, dValues, states, dStates }: Scanned,
): DeltaInputs {
  const rowSums = (a: Tensor, b: Tensor) => {
    const products = ops.mul(a, b);
    return own(thenFree(ops, ops.sum(products), products));
  };
  const dSolved = own(ops.batchMatMul(p.inverse, dValues, true));
  const dOwn = ops.mul(dSolved, rate); // that of v
  const read = ops.batchMatMul(p.kStart, states);
  const error = own(thenFree(ops, ops.sub(v, read), read));
  const outer = thenMul(ops, ops.batchMatMul(dSolved, values, false, true), chunks.before);
  const dL = own(thenFree(ops, ops.scale(outer, -1), outer));
  const dAttention = own(ops.batchMatMul(dO, values, false, true));
  const dScores = own(ops.mul(dAttention, p.pairs));
  const dDecayed = own(ops.mul(dL, p.pairs));
  const dKeys = own(ops.mul(dDecayed, rate));
  const ofKeys = ops.batchMatMul(dOwn, states, false, true);
  const dkStart = own(thenFree(ops, ops.scale(ofKeys, -1), ofKeys));
  const dqStart = own(ops.batchMatMul(dO, states, false, true));
  const dkEnd = own(ops.batchMatMul(values, dStates, false, true));
  const ended = rowSums(dkEnd, p.kEnd);
  const dPairs = own(addOwned(ops, [ops.mul(dL, p.L), ops.mul(dAttention, p.attention)]));
  const across = ops.transpose(dPairs, [0, 2, 1]);
  const columns = own(thenFree(ops, ops.sum(across), across));
  const dSums = own(
    ops.addN([
      own(ops.sum(dPairs)),
      own(ops.scale(columns, -1)),
      rowSums(dqStart, p.qStart),
      rowSums(dkStart, p.kStart),
      own(ops.scale(ended, -1)),
    ]),
  );
  return {
    q: addOwned(ops, [ops.batchMatMul(dScores, k), ops.mul(dqStart, p.fromStart)]),
    k: addOwned(ops, [
      ops.batchMatMul(dScores, q, true),
      ops.batchMatMul(dKeys, k),
      ops.batchMatMul(dKeys, k, true),
      ops.mul(dkStart, p.fromStart),
      ops.mul(dkEnd, p.toEnd),
    ]),
    v: dOwn,
    rate: addOwned(ops, [
      ops.sum(own(ops.mul(dSolved, error))),
      ops.sum(own(ops.mul(dDecayed, p.keys))),
    ]),
    decay: decayGradient(
      { ops, own, chunks },
      dSums,
      own(lastGradient({ ops, own }, p.whole, ended, [states, dStates])),
    ),
  };
}

const addOwned = (ops: Ops, terms: readonly Tensor[]): Tensor =>
  thenFree(ops, terms.length === 2 ? ops.add(terms[0]!, terms[1]!) : ops.addN(terms), ...terms);

interface Owner {
  readonly ops: Ops;
  readonly own: Scope['own'];
}

/** Of c_last, by what reaches the chunk's end: its keys, and the state. [m, 1, 1] */
function lastGradient(
  { ops, own }: Owner,
  whole: Tensor,
  ended: Tensor,
  [states, dStates]: readonly [Tensor, Tensor],
): Tensor {
  const [m, size] = ended.shape as [number, number];
  const [, keyWidth, valueWidth] = states.shape as [number, number, number];
  const products = own(ops.reshape(own(ops.mul(states, dStates)), [m, 1, keyWidth * valueWidth]));
  const ofState = own(ops.mul(own(ops.sum(products)), whole));
  const ofKeys = own(ops.sum(own(ops.reshape(ended, [m, 1, size]))));
  return ops.add(ofState, ofKeys);
}

/** Of the decays, given that of their sums; all of a chunk take part in its last sum. */
function decayGradient(
  { ops, own, chunks }: Owner & { readonly chunks: Chunks },
  dSums: Tensor,
  dLast: Tensor,
): Tensor {
  const [m, size] = dSums.shape as [number, number];
  const flat = own(ops.reshape(dSums, [m, size]));
  const d = own(ops.matMul(flat, chunks.sums, false, true));
  return ops.add(own(ops.reshape(d, [m, size, 1])), dLast);
}
