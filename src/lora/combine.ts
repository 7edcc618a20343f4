import type { Adapter, AdapterConfig, LoraFactors } from './adapter';
import { exactPattern } from './exactPattern';
import { isOutputPath, withoutTying } from './tying';
import { sumUpdates, updateNorm, updateSvd } from './updateSvd';
import { countOf } from '../shared/values';

export const COMBINATIONS = ['cat', 'linear', 'svd', 'ties', 'magnitude_prune'] as const;
export type CombinationType = (typeof COMBINATIONS)[number];

export interface CombineOptions {
  readonly type: CombinationType;
  /** One per adapter. */
  readonly weights: readonly number[];
  /** svd: rank of the result; null: the largest rank of the adapters. */
  readonly rank: number | null;
  /** ties, magnitude_prune: the share of the values that is kept. */
  readonly density: number;
  /** ties: how the sign is elected, by the sum of the values or by their count. */
  readonly majority_sign_method: 'total' | 'frequency';
  /** linear: A and B are added separately as in PEFT, so that their product has cross terms. */
  readonly peft: boolean;
}

export interface Combined {
  readonly adapter: Adapter;
  /** ‖result - Σ w·dW‖ / ‖Σ w·dW‖ over all layers; null where the sum is zero. */
  readonly error: number | null;
  /** The same by layer; where a layer's sum is zero, ‖result‖. */
  readonly errors: ReadonlyMap<string, number>;
  /** zero: all weighted updates are zero; cancelled: their sum is, within the rounding of f32. */
  readonly sum: 'zero' | 'cancelled' | 'some';
}

/** One adapter's factors of a layer. */
interface Part {
  readonly factors: LoraFactors;
  readonly weight: number;
}

/**
 * Combines several adapters of one base into one.
 *
 * - `cat`, `linear`: Σ w·dW exactly, with the sum of the ranks.
 * - `svd`: the best approximation of Σ w·dW of a smaller rank.
 * - `ties` (Yadav et al. 2023), `magnitude_prune`: applied to A and B separately, as PEFT does.
 *
 * @throws RangeError for adapters that cannot be added.
 */
export function combineUpdates(adapters: readonly Adapter[], options: CombineOptions): Combined {
  checkAdapters(adapters, options);
  const rank = options.rank ?? Math.max(...adapters.flatMap((a) => a.modules.map((m) => m.r)));
  const errors = new Map<string, number>();
  let squaredError = 0;
  let squaredSum = 0;
  let partNorms = 0;
  const modules: LoraFactors[] = [];
  for (const [path, parts] of partsByPath(adapters, options.weights)) {
    checkShapes(path, parts);
    const whole: LoraFactors = { ...parts[0]!.factors, ...sumUpdates(parts) };
    checkNumbers(whole);
    const result = combineLayer(parts, whole, rank, options);
    const size = updateNorm(whole);
    const error = updateNorm(
      sumUpdates([
        { factors: result, weight: 1 },
        { factors: whole, weight: -1 },
      ]),
    );
    checkNumbers(result);
    modules.push(result);
    const ownNorms = parts.reduce((s, p) => s + Math.abs(p.weight) * updateNorm(p.factors), 0);
    const isZero = size <= F32_NOISE * ownNorms;
    errors.set(path, isZero ? error : error / size);
    partNorms += ownNorms;
    squaredError += error ** 2;
    squaredSum += size ** 2;
  }
  const sum = kindOfSum(Math.sqrt(squaredSum), partNorms);
  return {
    adapter: withRankPatterns({ config: adapters[0]!.config, modules, trained: [] }, modules),
    error: sum === 'some' ? Math.sqrt(squaredError / squaredSum) : null,
    errors,
    sum,
  };
}

/** Norms below this share of those that were added are rounding in f32. */
const F32_NOISE = 1e-6;

function kindOfSum(sum: number, parts: number): Combined['sum'] {
  if (parts === 0) return 'zero';
  return sum <= F32_NOISE * parts ? 'cancelled' : 'some';
}

/** @throws RangeError when a number is not finite. */
function checkNumbers({ path, A, B }: LoraFactors): void {
  if (![A, B].every((own) => own.every(Number.isFinite)))
    throw new RangeError(
      `The combination of ${path} has numbers that float32 cannot hold. Use smaller weights.`,
    );
}

/** @throws RangeError when the adapters have another shape of a module. */
function checkShapes(path: string, parts: readonly Part[]): void {
  const shapes = parts.map(({ factors: m }) => `${m.kind} ${m.out_features} x ${m.in_features}`);
  const other = shapes.find((own) => own !== shapes[0]);
  if (other !== undefined)
    throw new RangeError(
      `${path} is ${shapes[0]!} in one adapter and ${other} in another: they are of different bases and cannot be combined.`,
    );
}

function checkAdapters(adapters: readonly Adapter[], { weights }: CombineOptions): void {
  if (adapters.length === 0) throw new RangeError('At least one adapter is needed.');
  if (weights.length !== adapters.length)
    throw new RangeError(
      `${countOf(adapters.length, 'adapter')} need ${countOf(adapters.length, 'weight')}, not ${weights.length}.`,
    );
  if (adapters.some(({ modules }) => modules.some((m) => m.magnitude)))
    throw new RangeError(
      'DoRA adapters scale rows of W + dW, so they cannot be added. Merge them one after the other.',
    );
  checkTying(adapters);
  if (adapters.some(({ trained }) => trained.length > 0))
    throw new RangeError(
      'Tensors that were trained beside LoRA (modules_to_save, biases, trainable_token_indices) cannot be added. Merge such adapters one after the other.',
    );
}

/** @throws RangeError when only some of the adapters tie the embedding to the output layer. */
function checkTying(adapters: readonly Adapter[]): void {
  const isTied = ({ config }: Adapter) => config.raw['ensure_weight_tying'] === true;
  const hasOutput = ({ modules }: Adapter) => modules.some((m) => isOutputPath(m.path));
  const hasEmbedding = ({ modules }: Adapter) => modules.some((m) => m.kind === 'embedding');
  const hasHalf = (own: Adapter) => isTied(own) && hasOutput(own) !== hasEmbedding(own);
  if (adapters.some(hasHalf) && !adapters.every(hasHalf))
    throw new RangeError(
      'Only one of the adapters ties the embedding to the output layer (ensure_weight_tying), so they cannot be added. Merge them one after the other.',
    );
}

function partsByPath(
  adapters: readonly Adapter[],
  weights: readonly number[],
): ReadonlyMap<string, readonly Part[]> {
  const parts = new Map<string, Part[]>();
  for (const [i, { modules }] of adapters.entries()) {
    for (const factors of modules) {
      const own = parts.get(factors.path) ?? [];
      parts.set(factors.path, [...own, { factors, weight: weights[i]! }]);
    }
  }
  return parts;
}

function combineLayer(
  parts: readonly Part[],
  sum: LoraFactors,
  rank: number,
  options: CombineOptions,
): LoraFactors {
  const { density, majority_sign_method } = options;
  const pruneAll = (tensors: readonly Float32Array[]) => tensors.map((t) => prune(t, density));
  switch (options.type) {
    case 'cat':
      return sum;
    case 'linear':
      return options.peft ? combineSeparately(parts, weightedSum) : sum;
    case 'svd':
      return truncateRank(sum, rank);
    case 'ties':
      return combineSeparately(parts, (tensors, weights) =>
        mergeMajority(pruneAll(tensors), weights, majority_sign_method),
      );
    case 'magnitude_prune':
      return combineSeparately(parts, (tensors, weights) =>
        weightedSum(pruneAll(tensors), weights),
      );
  }
}

/** The best update of a smaller rank (Eckart and Young 1936): B = U·S, A = Vᵀ, scaling 1. */
export function truncateRank(m: LoraFactors, rank: number): LoraFactors {
  const { S, left, right } = updateSvd(m);
  const r = Math.min(rank, S.length);
  const A = new Float32Array(r * m.in_features);
  const B = new Float32Array(m.out_features * r);
  for (let k = 0; k < r; k++) {
    A.set(right[k]!, k * m.in_features);
    for (let o = 0; o < m.out_features; o++) B[o * r + k] = left[k]![o]! * S[k]!;
  }
  return { ...m, r, A, B, scaling: 1 };
}

type CombineTensors = (
  tensors: readonly Float32Array[],
  weights: readonly number[],
) => Float32Array;

/**
 * Combines all A and all B, each weighted by √|w·s| with the sign of w·s on A, as PEFT does.
 *
 * @throws RangeError where the ranks differ.
 */
function combineSeparately(parts: readonly Part[], combine: CombineTensors): LoraFactors {
  const [first] = parts;
  const { r, path } = first!.factors;
  if (parts.some(({ factors }) => factors.r !== r))
    throw new RangeError(
      `${path} has a different rank in each adapter, so A and B cannot be added separately. Use cat or svd.`,
    );
  const scales = parts.map(({ factors, weight }) => weight * factors.scaling);
  const roots = scales.map((scale) => Math.sqrt(Math.abs(scale)));
  const signedRoots = roots.map((root, i) => (scales[i]! >= 0 ? root : -root));
  return {
    ...first!.factors,
    scaling: 1,
    A: combine(
      parts.map(({ factors }) => factors.A),
      signedRoots,
    ),
    B: combine(
      parts.map(({ factors }) => factors.B),
      roots,
    ),
  };
}

function weightedSum(tensors: readonly Float32Array[], weights: readonly number[]): Float32Array {
  return tensors[0]!.map((_, n) =>
    tensors.reduce((sum, tensor, i) => sum + tensor[n]! * weights[i]!, 0),
  );
}

/** Magnitude pruning: only a share of the numbers stays, the largest; the others become 0. */
function prune(tensor: Float32Array, density: number): Float32Array {
  const kept = Math.trunc(density * tensor.length);
  if (kept >= tensor.length) return tensor;
  const order = [...tensor.keys()].sort(
    (a, b) => Math.abs(tensor[b]!) - Math.abs(tensor[a]!) || a - b,
  );
  const result = new Float32Array(tensor.length);
  for (const n of order.slice(0, kept)) result[n] = tensor[n]!;
  return result;
}

/**
 * The last two steps of TIES (Yadav et al. 2023): elect a sign for each number, then average those
 * that have it.
 */
function mergeMajority(
  tensors: readonly Float32Array[],
  weights: readonly number[],
  method: CombineOptions['majority_sign_method'],
): Float32Array {
  return tensors[0]!.map((_, n) => {
    const values = tensors.map((tensor) => tensor[n]!);
    const votes = values.reduce((sum, x) => sum + (method === 'total' ? x : Math.sign(x)), 0);
    const majority = votes >= 0 ? 1 : -1;
    let sum = 0;
    let agreeing = 0;
    for (const [i, x] of values.entries()) {
      if (Math.sign(x) !== majority) continue;
      sum += x * weights[i]!;
      agreeing++;
    }
    return sum / Math.max(1, agreeing);
  });
}

/**
 * An adapter with other factors, whose config gives each layer the rank and the scaling that its
 * factors have: the most frequent ones as r and lora_alpha, the others as patterns.
 */
export function withRankPatterns(adapter: Adapter, modules: readonly LoraFactors[]): Adapter {
  const r = mostFrequent(modules.map((m) => m.r));
  const lora_alpha = mostFrequent(modules.map(alphaOf));
  const patternOf = (valueOf: (m: LoraFactors) => number, usual: number) =>
    exactPattern(
      modules.map((m) => [m.path, valueOf(m)]),
      usual,
    );
  const config: AdapterConfig = {
    ...adapter.config,
    r,
    lora_alpha,
    use_rslora: false,
    rank_pattern: patternOf((m) => m.r, r),
    alpha_pattern: patternOf(alphaOf, lora_alpha),
    target_modules: modules.map((m) => m.path),
    layers_to_transform: null,
    layers_pattern: null,
    exclude_modules: null,
    raw: withoutTying(adapter.config.raw, modules),
  };
  return { ...adapter, config, modules };
}

/** lora_alpha of a scaling, without the rounding of its division by the rank. */
function alphaOf({ scaling, r }: LoraFactors): number {
  const alpha = scaling * r;
  const rounded = Math.round(alpha);
  return Math.abs(alpha - rounded) <= 1e-12 * Math.abs(alpha) ? rounded : alpha;
}

/** The most frequent value; the first of several that are equally frequent. */
export function mostFrequent(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].reduce((most, own) => (own[1] > most[1] ? own : most))[0];
}
