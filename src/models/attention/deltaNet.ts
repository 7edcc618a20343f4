import type { DeltaSpec } from '../../formats/architecture/spec';
import { applyActivation, applyActivationWithSlope } from '../layers/activation';
import { castAndFree, columnSums, thenFree, type Ops, type Tensor } from '../ops/ops';
import { Scope } from '../ops/scope';
import type { DenseWeight } from '../weightTensor';
import { fromChunks, toChunks, type Chunks, type ChunkShape } from './chunks';
import { convolve, convolveBackward, type Convolution, type Taps } from './convolution';
import { deltaRule, deltaRuleBackward, type DeltaInputs } from './deltaRule';
import { gatedNorm, gatedNormBackward, type GatedNorm } from './gatedNorm';
import { repeatHeads, sumHeads, unitHeads, unitHeadsBackward } from './headRows';

// Gated DeltaNet (Yang et al. 2025) as in Qwen 3.5: of a product's parts x, z, b and a, x goes
// through a short convolution and SiLU and becomes q and k, of length 1, and v; b and a become the
// rates and decays of the gated delta rule, whose output is normalized and gated by z.

export interface DeltaNet {
  readonly spec: DeltaSpec;
  readonly convolution: Convolution;
  /** A_log: decays are -exp(A_log) · softplus(a + dt_bias). */
  readonly decay_log: DenseWeight; // [value heads]
  /** dt_bias */
  readonly decay_bias: DenseWeight; // [value heads]
  readonly norm: GatedNorm;
}

export const isDeltaNetTrained = ({ convolution, decay_log, decay_bias, norm }: DeltaNet) =>
  [convolution.weight, decay_log, decay_bias, norm.weight].some((w) => w.gradientSink !== null);

/** What the tokens after those read so far need of these; of one sequence. */
export interface DeltaState {
  /** The last inputs of the convolution. */
  readonly inputs: Tensor; // [1, kernel - 1, channels]
  readonly state: Tensor; // [value heads, key width, value width]
}

export interface DeltaPass {
  readonly ops: Ops;
  readonly shape: ChunkShape;
  readonly taps: Taps;
  readonly chunks: Chunks;
}

/** The outputs, and what the backward pass and later tokens need. */
export interface DeltaOutput {
  readonly o: Tensor; // [n, value heads · value width]
  /** Before the norm. */
  readonly core: Tensor; // [n, value heads · value width]
  readonly state: DeltaState;
}

/** Numbers of a token's parts. */
const widthsOf = ({ key_heads, value_heads, key_dim, value_dim }: DeltaSpec) => {
  const [keys, values] = [key_heads * key_dim, value_heads * value_dim];
  return { keys, values, channels: 2 * keys + values, heads: value_heads };
};

interface ProductParts {
  readonly x: Tensor; // [n, channels]
  readonly z: Tensor; // [n, value heads · value width]
  readonly b: Tensor; // [n, value heads]
  readonly a: Tensor; // [n, value heads]
}

function partsOf(ops: Ops, { spec }: DeltaNet, product: Tensor, { ownAll }: Scope): ProductParts {
  const { channels, values, heads } = widthsOf(spec);
  const parts = ownAll(ops.split(product, [channels, values, heads, heads], 1));
  const [x, z, b, a] = parts as [Tensor, Tensor, Tensor, Tensor];
  return { x, z, b, a };
}

/** x [n, m], which is freed, in f32, with zeros for padding. */
export function withoutPadding({ ops, taps: [own] }: DeltaPass, x: Tensor): Tensor {
  const wide = castAndFree(ops, x, 'f32');
  return own ? thenFree(ops, ops.mul(wide, own), wide) : wide;
}

/**
 * Of a product [n, 2 keys + 2 values + 2 heads] in f32 after the tokens of `earlier`; null: there
 * are none. Frees nothing.
 */
export function deltaForward(
  pass: DeltaPass,
  w: DeltaNet,
  product: Tensor,
  earlier: DeltaState | null,
): DeltaOutput {
  const { ops, shape, chunks } = pass;
  const scope = new Scope(ops);
  const { x, z, b, a } = partsOf(ops, w, product, scope);
  const { y, inputs } = convolveAfter(pass, w, x, earlier);
  const mixed = scope.own(thenFree(ops, applyActivation(ops, 'silu', y), y));
  const { inputs: rule } = ruleInputs(pass, w, scope, { mixed, b, a });
  const { o, state } = deltaRule(ops, chunks, rule, earlier?.state ?? null);
  const core = thenFree(ops, fromChunks(ops, o, w.spec.value_heads, { ...shape, ...chunks }), o);
  const output = gatedNorm(ops, w.norm, { x: core, z });
  scope.free();
  return { o: output, core, state: { inputs, state } };
}

/** The outputs again, for the backward pass. */
export function deltaOutput(ops: Ops, w: DeltaNet, product: Tensor, core: Tensor): Tensor {
  const scope = new Scope(ops);
  const { z } = partsOf(ops, w, product, scope);
  const o = gatedNorm(ops, w.norm, { x: core, z });
  scope.free();
  return o;
}

/** The convolution of x [n, channels], and its last inputs. */
function convolveAfter(
  { ops, shape, taps }: DeltaPass,
  { convolution }: DeltaNet,
  x: Tensor,
  earlier: DeltaState | null,
): { readonly y: Tensor; readonly inputs: Tensor } {
  const { batch, length } = shape;
  const kept = convolution.kernel - 1;
  const channels = x.shape[1]!;
  const own = ops.reshape(x, [batch, length, channels]);
  const u = earlier ? thenFree(ops, ops.concat([earlier.inputs, own], 1), own) : own;
  const all = u.shape[1]!;
  const filled = all < kept ? ops.pad(u, 1, kept - all, 0) : u;
  const inputs = ops.slice(filled, [0, Math.max(0, all - kept), 0], [batch, kept, channels]);
  if (filled !== u) ops.free(filled);
  if (!earlier)
    return { y: thenFree(ops, convolve({ ops, shape, taps }, convolution, u), u), inputs };
  const whole = { ops, shape: { batch, length: all }, taps: [] };
  const y = thenFree(ops, convolve(whole, convolution, u), u);
  return { y: thenFree(ops, ops.slice(y, [kept, 0], [length, channels]), y), inputs };
}

/** What the rule reads and what that is made of, all of it owned by the scope. */
interface Rule {
  readonly inputs: DeltaInputs;
  /** Of the convolution, and β and g of each token. */
  readonly q: Tensor; // [n, keys]
  readonly k: Tensor; // [n, keys]
  readonly rate: Tensor; // [n, heads]
  readonly decay: Tensor; // [n, heads]
  /** a + dt_bias */
  readonly shifted: Tensor; // [n, heads]
  /** -exp(A_log) */
  readonly factor: Tensor; // [heads]
}

function ruleInputs(
  { ops, shape, chunks }: DeltaPass,
  { spec, decay_log, decay_bias }: DeltaNet,
  { own, ownAll }: Scope,
  { mixed, b, a }: Pick<ProductParts, 'a' | 'b'> & { readonly mixed: Tensor },
): Rule {
  const { keys, values, heads } = widthsOf(spec);
  const { key_dim, key_heads } = spec;
  const cut = (x: Tensor) => own(toChunks(ops, x, heads, { ...shape, ...chunks }));
  const [q, k, v] = ownAll(ops.split(mixed, [keys, keys, values], 1)) as [Tensor, Tensor, Tensor];
  const repeated = (x: Tensor) => own(repeatHeads(ops, x, key_dim, heads / key_heads));
  const unitQ = own(unitHeads(ops, q, key_dim));
  const rate = own(ops.sigmoid(b));
  const shifted = own(ops.add(a, decay_bias.tensor));
  const factor = own(ops.scale(own(ops.exp(decay_log.tensor)), -1));
  const decay = own(ops.mul(own(ops.softplus(shifted)), factor));
  const inputs = {
    q: cut(repeated(ops.scale(unitQ, 1 / Math.sqrt(key_dim)))),
    k: cut(repeated(unitHeads(ops, k, key_dim))),
    v: cut(v),
    rate: cut(rate),
    decay: cut(decay),
  };
  return { inputs, q, k, rate, decay, shifted, factor };
}

/**
 * The gradient of the product for dO. Accumulates the gradients of the trainable parameters. Frees
 * none of its inputs. The tokens are the first of their sequences.
 */
export async function deltaBackward(
  pass: DeltaPass,
  w: DeltaNet,
  { product, core }: { readonly product: Tensor; readonly core: Tensor },
  dO: Tensor,
): Promise<Tensor> {
  const { ops, shape, chunks } = pass;
  const scope = new Scope(ops);
  const { own } = scope;
  const { x, z, b, a } = partsOf(ops, w, product, scope);
  const { dx: dCore, dz } = await gatedNormBackward(ops, w.norm, { x: core, z }, dO);
  scope.ownAll([dCore, dz]);
  const u = own(ops.reshape(x, [shape.batch, shape.length, x.shape[1]!]));
  const y = own(convolve(pass, w.convolution, u));
  const { y: mixed, slope } = applyActivationWithSlope(ops, 'silu', y);
  scope.ownAll([mixed, slope]);
  const rule = ruleInputs(pass, w, scope, { mixed, b, a });
  const cut = own(toChunks(ops, dCore, w.spec.value_heads, { ...shape, ...chunks }));
  const dRule = deltaRuleBackward(ops, chunks, rule.inputs, cut);
  const { dMixed, db, da } = await ruleInputsBackward(pass, w, scope, { rule, dRule });
  const dY = own(ops.mul(dMixed, slope));
  const dX = own(await convolveBackward(pass, w.convolution, u, dY));
  const dProduct = ops.concat([dX, dz, db, da], 1);
  scope.free();
  return withoutPadding(pass, dProduct);
}

interface RuleGradient {
  readonly rule: Rule;
  /** Freed. */
  readonly dRule: DeltaInputs;
}

/** The gradients of what the rule's inputs are made of, owned by the scope. */
async function ruleInputsBackward(
  { ops, shape, chunks }: DeltaPass,
  w: DeltaNet,
  { own }: Scope,
  { rule, dRule }: RuleGradient,
): Promise<{ readonly dMixed: Tensor; readonly db: Tensor; readonly da: Tensor }> {
  const { key_dim, key_heads, value_heads } = w.spec;
  const whole = (d: Tensor) =>
    thenFree(ops, fromChunks(ops, d, value_heads, { ...shape, ...chunks }), d);
  const summed = (d: Tensor) => own(sumHeads(ops, whole(d), key_dim, value_heads / key_heads));
  const dUnitQ = own(ops.scale(summed(dRule.q), 1 / Math.sqrt(key_dim)));
  const dq = own(unitHeadsBackward(ops, rule.q, dUnitQ, key_dim));
  const dk = own(unitHeadsBackward(ops, rule.k, summed(dRule.k), key_dim));
  const dDecay = own(whole(dRule.decay));
  const dSoftplus = own(ops.mul(dDecay, rule.factor));
  const da = own(ops.mul(dSoftplus, own(ops.sigmoid(rule.shifted))));
  await accumulateSums(ops, w.decay_log, own(ops.mul(dDecay, rule.decay)));
  await accumulateSums(ops, w.decay_bias, da);
  return {
    dMixed: own(ops.concat([dq, dk, own(whole(dRule.v))], 1)),
    db: own(ops.sigmoidGrad(rule.rate, own(whole(dRule.rate)))),
    da,
  };
}

/** Adds the sums of the columns of d [n, heads] to the gradient of a weight [heads]. */
async function accumulateSums(ops: Ops, { gradientSink, shape }: DenseWeight, d: Tensor) {
  if (!gradientSink) return;
  const sums = columnSums(ops, d);
  await gradientSink.accumulate(thenFree(ops, ops.reshape(sums, shape), sums));
}
