import type { BranchGradient } from '../attention/attentionBranch';
import {
  castAndFree,
  concatAndFree,
  downloadAndFree,
  sumAndFree,
  thenFree,
  type Ops,
  type Tensor,
} from '../ops/ops';
import { addBranch, branchOutputGradient, type BranchOutput } from './branchOutput';
import { countExperts } from './expertCounts';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  needsInput,
  savedTensors,
  type Computation,
  type Linear,
  type LinearSaved,
} from './linear';
import {
  freeMlp,
  isMlpTrained,
  mlpBackward,
  mlpForward,
  type MlpSaved,
  type MlpWeights,
} from './mlpBranch';
import {
  branchInputGradient,
  isNormTrained,
  normForward,
  recomputeNorm,
  statsTensors,
  type Norm,
  type NormSaved,
  type NormStats,
} from './norm';
import { routerGradient, routesOf, type Routes } from './routing';

/**
 * A mixture of experts: y = residual + scale_out · norm_out(Σ wₑ · expertₑ(h)) with h = norm_in(x),
 * over the experts that the router chooses for a row. Only these are computed.
 */
export interface MixtureWeights extends BranchOutput {
  readonly kind: 'mixture';
  readonly norm_in: Norm | null;
  /** Of the router's input x; null: it reads h. */
  readonly norm_router: Norm | null;
  readonly router: Linear;
  /** Factors of the experts' weights; null: none. */
  readonly scales: Float32Array | null; // [experts]
  readonly experts: readonly MlpWeights[];
  readonly top_k: number;
  readonly normalises: boolean;
}

/** What the backward pass needs of the forward pass. */
export interface MixtureSaved {
  /** The branch's input, which the layer owns. */
  readonly x: Tensor; // [m, d]
  readonly stats_in: NormStats | null;
  readonly stats_router: NormStats | null;
  readonly router: LinearSaved;
  readonly routes: Routes;
  /** Of the chosen experts, each with its input. */
  readonly experts: readonly MlpSaved[];
  /** What the experts computed. */
  readonly outputs: Tensor; // [m · top_k, d]
  /** Of norm_out. */
  readonly branch: NormSaved | null;
}

const settingsOf = ({ experts, top_k, normalises, scales }: MixtureWeights) => ({
  num_experts: experts.length,
  top_k,
  normalises,
  scales,
});

export const isMixtureTrained = (w: MixtureWeights): boolean =>
  isNormTrained(w.norm_in) ||
  isNormTrained(w.norm_out) ||
  isLinearTrained(w.router) ||
  w.experts.some(isMlpTrained);

/** As `mlpForward`. */
export async function mixtureForward(
  computation: Computation,
  w: MixtureWeights,
  x: Tensor,
  residual: Tensor,
): Promise<{ readonly y: Tensor; readonly saved: MixtureSaved }> {
  const { ops } = computation;
  const normed = w.norm_in && normForward(ops, w.norm_in, x);
  const h = normed?.h ?? x;
  const read = w.norm_router && normForward(ops, w.norm_router, x);
  const router = linearForward(computation, w.router, read?.h ?? h); // [m, experts]
  if (read) ops.free(read.h);
  const probabilities = thenFree(ops, ops.softmax(router.y), router.y);
  const routes = routesOf((await downloadAndFree(ops, probabilities)).slice(), settingsOf(w));
  if (computation.expertCounter) countExperts(computation.expertCounter, routes, w.experts.length);
  const experts = expertsForward(computation, w, routes, h);
  if (normed) ops.free(normed.h);
  const weights = ops.upload(routes.weights, [routes.weights.length, 1]);
  const weighted = thenFree(ops, ops.mul(experts.outputs, weights), weights);
  const sum = sumOfPairs(ops, routes, weighted);
  const { y, branch } = addBranch(ops, w, sum, residual);
  const stats = { stats_in: normed?.stats ?? null, stats_router: read?.stats ?? null };
  return { y, saved: { x, ...stats, router: router.saved, routes, ...experts, branch } };
}

/** Each chosen expert of its rows of h [m, d]. */
function expertsForward(
  computation: Computation,
  w: MixtureWeights,
  { chosen, rows }: Routes,
  h: Tensor,
): Pick<MixtureSaved, 'experts' | 'outputs'> {
  const { ops } = computation;
  const results = chosen.map(({ expert, start, count }) => {
    const indices = ops.upload(rows.slice(start, start + count), [count]);
    const own = thenFree(ops, ops.gather(h, indices), indices); // [count, d]
    return mlpForward(computation, w.experts[expert]!, own, null);
  });
  const outputs = concatAndFree(
    ops,
    results.map(({ y }) => castAndFree(ops, y, 'f32')), // of few rows, they are in f32 already
    0,
  );
  return { experts: results.map(({ saved }) => saved), outputs };
}

/** The sum of each row's pairs: [m · top_k, d] -> [m, d]. Frees the pairs. */
function sumOfPairs(ops: Ops, { pairs }: Routes, x: Tensor): Tensor {
  const terms = pairs.map((of) => {
    const indices = ops.upload(of, [of.length]);
    return thenFree(ops, ops.gather(x, indices), indices);
  });
  return thenFree(ops, sumAndFree(ops, terms), x);
}

/** Frees what was saved, but not x. */
export function freeMixture(ops: Ops, saved: MixtureSaved): void {
  const { stats_in, stats_router, router, experts, outputs, branch } = saved;
  for (const expert of experts) {
    freeMlp(ops, expert);
    ops.free(expert.x);
  }
  ops.free(
    ...[stats_in, stats_router].flatMap((stats) => (stats ? statsTensors(stats) : [])),
    ...savedTensors(router),
    outputs,
    ...(branch ? [branch.x, ...statsTensors(branch.stats)] : []),
  );
}

/** As `mlpBackward`. */
export async function mixtureBackward(
  computation: Computation,
  w: MixtureWeights,
  saved: MixtureSaved,
  { dy, residual, wantsInput }: BranchGradient,
): Promise<Tensor | null> {
  const { ops } = computation;
  const dSum = await branchOutputGradient(ops, w, saved.branch, dy);
  const wantsH = wantsInput || isNormTrained(w.norm_in);
  const { ofRouter, ofExperts } = await sumBackward(computation, w, saved, { dSum, wantsH });
  if (dSum !== dy) ops.free(dSum);
  if (!ofExperts) return null;
  const { x, stats_in: stats } = saved;
  const apart = w.norm_router ? ofRouter : [];
  const beside = await routerInputGradient(ops, w, saved, { terms: apart, residual });
  const dh = sumAndFree(ops, w.norm_router ? [ofExperts] : [...ofRouter, ofExperts]);
  const gradient = { dh, residual: beside };
  const dx = await branchInputGradient(ops, w.norm_in, { x, stats }, gradient);
  if (beside && beside !== residual) ops.free(beside);
  if (wantsInput) return dx;
  ops.free(dx);
  return null;
}

/** The residual plus the gradient of x through the router's own norm. Frees the terms. */
function routerInputGradient(
  ops: Ops,
  { norm_router }: MixtureWeights,
  { x, stats_router: stats }: MixtureSaved,
  { terms, residual }: { readonly terms: readonly Tensor[]; readonly residual: Tensor | null },
): Promise<Tensor | null> {
  if (terms.length === 0) return Promise.resolve(residual);
  const gradient = { dh: sumAndFree(ops, terms), residual };
  return branchInputGradient(ops, norm_router, { x, stats }, gradient);
}

interface SumGradient {
  readonly dSum: Tensor; // [m, d]
  readonly wantsH: boolean;
}

/** The way back from the weighted sum to the inputs [m, d], nothing unless `wantsH`. */
async function sumBackward(
  computation: Computation,
  w: MixtureWeights,
  saved: MixtureSaved,
  { dSum, wantsH }: SumGradient,
): Promise<{ readonly ofRouter: readonly Tensor[]; readonly ofExperts: Tensor | null }> {
  const { ops } = computation;
  const { rows, weights } = saved.routes;
  const indices = ops.upload(rows, [rows.length]);
  const dPairs = thenFree(ops, ops.gather(dSum, indices), indices); // [m · top_k, d]
  const ofRouter = await routerBackward(computation, w, saved, { dPairs, wantsH });
  const factors = ops.upload(weights, [weights.length, 1]);
  const dOutputs = thenFree(ops, ops.mul(dPairs, factors), dPairs, factors);
  const dInputs = await expertsBackward(computation, w, saved, { dOutputs, wantsH });
  ops.free(dOutputs);
  return { ofRouter, ofExperts: dInputs && sumOfPairs(ops, saved.routes, dInputs) };
}

/** Terms of the router's input, for the gradient of each pair's weighted output. */
async function routerBackward(
  computation: Computation,
  w: MixtureWeights,
  { x, stats_in, stats_router, router, routes, outputs }: MixtureSaved,
  { dPairs, wantsH }: { readonly dPairs: Tensor; readonly wantsH: boolean },
): Promise<Tensor[]> {
  const { ops } = computation;
  if (!wantsH && !isLinearTrained(w.router)) return [];
  const products = ops.mul(dPairs, outputs);
  const dWeights = await downloadAndFree(ops, thenFree(ops, ops.sum(products), products));
  const gradient = routerGradient(routes, dWeights, settingsOf(w));
  const dy = ops.upload(gradient, [x.shape[0]!, w.experts.length]);
  const h = needsInput(w.router) ? inputOf(ops, w, { x, stats_in, stats_router }) : null;
  const terms = await linearBackward(computation, w.router, { dy, x: h, saved: router }, wantsH);
  ops.free(dy, ...(h && h !== x ? [h] : []));
  return terms;
}

/** What the router reads, again. */
function inputOf(
  ops: Ops,
  { norm_in, norm_router }: MixtureWeights,
  { x, stats_in, stats_router }: Pick<MixtureSaved, 'x' | 'stats_in' | 'stats_router'>,
): Tensor {
  const norm = norm_router ?? norm_in;
  const stats = norm_router ? stats_router : stats_in;
  return norm && stats ? recomputeNorm(ops, norm, { x, stats }, 'f32') : x;
}

/** Gradients of the chosen experts' inputs [m · top_k, d]; null unless `wantsH`. */
async function expertsBackward(
  computation: Computation,
  w: MixtureWeights,
  { routes, experts }: MixtureSaved,
  { dOutputs, wantsH }: { readonly dOutputs: Tensor; readonly wantsH: boolean },
): Promise<Tensor | null> {
  const { ops } = computation;
  const { chosen } = routes;
  const counts = chosen.map(({ count }) => count);
  const gradients = ops.split(dOutputs, counts, 0);
  const dInputs: Tensor[] = [];
  for (const [i, { expert }] of chosen.entries()) {
    const dy = gradients[i]!;
    const gradient = { dy, residual: null, wantsInput: wantsH };
    const dx = await mlpBackward(computation, w.experts[expert]!, experts[i]!, gradient);
    ops.free(dy);
    if (dx) dInputs.push(castAndFree(ops, dx, 'f32'));
  }
  return wantsH ? concatAndFree(ops, dInputs, 0) : null;
}
