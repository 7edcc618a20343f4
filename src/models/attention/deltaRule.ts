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
  const [m, size] = decay.shape as [number, number];
  const { segments } = chunks;
  const flat = own(ops.reshape(decay, [m, size]));
  const sums = own(ops.matMul(flat, chunks.sums));
  const column = own(ops.reshape(sums, [m, size, 1]));
  const row = own(ops.reshape(sums, [m, 1, size]));
  const last = own(ops.slice(column, [0, size - 1, 0], [m, 1, 1]));
  const masked = (x: Tensor, mask: Tensor | undefined) =>
    mask ? own(withMask(ops, 'mul', x, mask)) : x;
  const fromStart = masked(own(ops.exp(column)), segments?.carried);
  const toEnd = masked(own(ops.exp(own(ops.sub(last, column)))), segments?.ending);
  const whole = masked(own(ops.exp(last)), segments?.whole);
  const distance = own(ops.sub(column, row));
  const pairs = own(ops.exp(own(withMask(ops, 'add', distance, chunks.causal))));
  const keys = own(ops.batchMatMul(k, k, false, true));
  const decayed = own(ops.mul(own(ops.mul(keys, pairs)), rate));
  const L = own(ops.mul(decayed, chunks.before));
  const inverse = own(inverseOfUnit(ops, L, chunks));
  const kStart = own(ops.mul(k, fromStart));
  return {
    ...{ fromStart, toEnd, whole, pairs, keys, L, inverse, kStart },
    attention: own(ops.mul(own(ops.batchMatMul(q, k, false, true)), pairs)),
    qStart: own(ops.mul(q, fromStart)),
    kEnd: own(ops.mul(k, toEnd)),
    own: own(ops.batchMatMul(inverse, own(ops.mul(v, rate)))),
    seen: own(ops.batchMatMul(inverse, own(ops.mul(kStart, rate)))),
  };
}

/** x [n · heads · batch, ...] as its n chunks, which the caller frees. */
const perChunk = (ops: Ops, { count }: Chunks, x: Tensor): Tensor[] =>
  ops.split(x, new Array<number>(count).fill(x.shape[0]! / count), 0);

function scan(ops: Ops, chunks: Chunks, products: Products, state: Tensor | null): Scan {
  const cut = (x: Tensor) => perChunk(ops, chunks, x);
  const [own, seen, whole] = [cut(products.own), cut(products.seen), cut(products.whole)];
  const [attention, qStart, kEnd] = [
    cut(products.attention),
    cut(products.qStart),
    cut(products.kEnd),
  ];
  const [outputs, values]: [Tensor[], Tensor[]] = [[], []];
  const first = state ? ops.reshape(state, state.shape) : zeroState(ops, kEnd[0]!, own[0]!);
  const states = [first];
  for (let i = 0; i < chunks.count; i++) {
    const S = states[i]!;
    const read = ops.batchMatMul(seen[i]!, S);
    const value = thenFree(ops, ops.sub(own[i]!, read), read);
    const terms = [ops.batchMatMul(qStart[i]!, S), ops.batchMatMul(attention[i]!, value)];
    outputs.push(sumAndFree(ops, terms));
    values.push(value);
    const kept = ops.mul(S, whole[i]!);
    states.push(sumAndFree(ops, [kept, ops.batchMatMul(kEnd[i]!, value, true)]));
  }
  ops.free(...own, ...seen, ...whole, ...attention, ...qStart, ...kEnd);
  return { outputs, values, states };
}

function zeroState(ops: Ops, { shape: [heads, , keyWidth] }: Tensor, { shape }: Tensor): Tensor {
  const size = [heads!, keyWidth!, shape[2]!];
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
  const cut = (x: Tensor) => perChunk(ops, chunks, x);
  const [attention, kEnd, qStart] = [
    cut(products.attention),
    cut(products.kEnd),
    cut(products.qStart),
  ];
  const [seen, whole, dOutputs] = [cut(products.seen), cut(products.whole), cut(dO)];
  const dStates = [zeroState(ops, kEnd[0]!, dOutputs[0]!)];
  const dValues: Tensor[] = [];
  for (let i = chunks.count - 1; i >= 0; i--) {
    const [d, dS] = [dOutputs[i]!, dStates[0]!];
    const terms = [ops.batchMatMul(attention[i]!, d, true), ops.batchMatMul(kEnd[i]!, dS)];
    const dValue = sumAndFree(ops, terms);
    dValues.unshift(dValue);
    if (i === 0) break;
    const read = ops.batchMatMul(seen[i]!, dValue, true);
    const sum = sumAndFree(ops, [ops.mul(dS, whole[i]!), ops.batchMatMul(qStart[i]!, d, true)]);
    dStates.unshift(thenFree(ops, ops.sub(sum, read), sum, read));
  }
  ops.free(...attention, ...kEnd, ...qStart, ...seen, ...whole, ...dOutputs);
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
  const rowSums = (a: Tensor, b: Tensor) => own(ops.sum(own(ops.mul(a, b))));
  const dSolved = own(ops.batchMatMul(p.inverse, dValues, true));
  const dOwn = ops.mul(dSolved, rate); // that of v
  const error = own(ops.sub(v, own(ops.batchMatMul(p.kStart, states))));
  const outer = own(ops.batchMatMul(dSolved, values, false, true));
  const dL = own(ops.scale(own(ops.mul(outer, chunks.before)), -1));
  const dAttention = own(ops.batchMatMul(dO, values, false, true));
  const dScores = own(ops.mul(dAttention, p.pairs));
  const dDecayed = own(ops.mul(dL, p.pairs));
  const dKeys = own(ops.mul(dDecayed, rate));
  const dkStart = own(ops.scale(own(ops.batchMatMul(dOwn, states, false, true)), -1));
  const dqStart = own(ops.batchMatMul(dO, states, false, true));
  const dkEnd = own(ops.batchMatMul(values, dStates, false, true));
  const ended = rowSums(dkEnd, p.kEnd);
  const dPairs = own(ops.add(own(ops.mul(dL, p.L)), own(ops.mul(dAttention, p.attention))));
  const dSums = own(
    ops.addN([
      own(ops.sum(dPairs)),
      own(ops.scale(own(ops.sum(own(ops.transpose(dPairs, [0, 2, 1])))), -1)),
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
