import { updateSvd, sumUpdates, updateNorm } from './updateSvd';
import type { Adapter, AdapterConfig, LoraFactors } from './adapter';

export const COMBINATIONS = ['cat', 'linear', 'svd', 'ties', 'magnitude_prune'] as const;
export type CombinationType = (typeof COMBINATIONS)[number];

export interface CombineOptions {
  readonly type: CombinationType;
  readonly weights: readonly number[];
  /** svd: of the result; null: the largest of the adapters'. */
  readonly rank: number | null;
  /** ties, magnitude_prune: share of the numbers that is kept. */
  readonly density: number;
  /** ties: by whose sign the majority goes. */
  readonly majority_sign_method: 'total' | 'frequency';
  /** linear as PEFT has it: A and B added up apart, whose product has cross terms. */
  readonly peft: boolean;
}

export interface Combined {
  readonly adapter: Adapter;
  /** ‖result - Σ w·dW‖ / ‖Σ w·dW‖ over all layers; null where the sum is zero. */
  readonly error: number | null;
  readonly errors: ReadonlyMap<string, number>;
}

/**
 * Adapters of one base as one. cat and linear give Σ w·dW exactly, with the ranks added up; svd is
 * the best of a smaller rank; ties and magnitude_prune work on A and B apart, as PEFT does. Errors:
 * RangeError for adapters that cannot be added up.
 */
export function combineUpdates(adapters: readonly Adapter[], options: CombineOptions): Combined {
  refuse(adapters, options);
  const paths = [...new Set(adapters.flatMap(({ modules }) => modules.map((m) => m.path)))];
  const rank =
    options.rank ?? Math.max(...adapters.flatMap(({ modules }) => modules.map((m) => m.r)));
  const errors = new Map<string, number>();
  let [wrong, whole] = [0, 0];
  const modules = paths.map((path) => {
    const parts = adapters.flatMap(({ modules: own }, i) =>
      own
        .filter((m) => m.path === path)
        .map((factors) => ({ factors, weight: options.weights[i]! })),
    );
    const sum = sumUpdates(parts);
    const result = combined(parts, { ...parts[0]!.factors, ...sum }, rank, options);
    const [size, gap] = [
      updateNorm(sum),
      updateNorm(
        sumUpdates([
          { factors: result, weight: 1 },
          { factors: sum, weight: -1 },
        ]),
      ),
    ];
    errors.set(path, size > 0 ? gap / size : gap);
    wrong += gap ** 2;
    whole += size ** 2;
    return result;
  });
  return {
    adapter: withRankPatterns({ config: adapters[0]!.config, modules, trained: [] }, modules),
    error: whole > 0 ? Math.sqrt(wrong / whole) : null,
    errors,
  };
}

function refuse(adapters: readonly Adapter[], { weights }: CombineOptions): void {
  if (adapters.length < 2) throw new RangeError('At least two adapters are needed.');
  if (weights.length !== adapters.length)
    throw new RangeError(
      `${adapters.length} adapters need as many weights, not ${weights.length}.`,
    );
  if (adapters.some(({ modules }) => modules.some((m) => m.magnitude)))
    throw new RangeError(
      'DoRA adapters scale rows of W + dW: they cannot be added up. Merge them one after the other.',
    );
  if (adapters.some(({ trained }) => trained.length > 0))
    throw new RangeError(
      'Tensors that were trained whole (modules_to_save, biases) cannot be added up. Merge such adapters one after the other.',
    );
}

type Part = { readonly factors: LoraFactors; readonly weight: number };

function combined(
  parts: readonly Part[],
  sum: LoraFactors,
  rank: number,
  options: CombineOptions,
): LoraFactors {
  switch (options.type) {
    case 'cat':
      return sum;
    case 'linear':
      return options.peft ? apart(parts, weightedSum) : sum;
    case 'svd':
      return truncateRank(sum, rank);
    case 'ties':
      return apart(parts, (tensors, weights) =>
        ties(
          tensors.map((t) => pruned(t, options.density)),
          weights,
          options.majority_sign_method,
        ),
      );
    case 'magnitude_prune':
      return apart(parts, (tensors, weights) =>
        weightedSum(
          tensors.map((t) => pruned(t, options.density)),
          weights,
        ),
      );
  }
}

/** The best update of a smaller rank (Eckart and Young 1936): B = U·S, A = Vᵀ. */
export function truncateRank(m: LoraFactors, rank: number): LoraFactors {
  const { S, left, right } = updateSvd(m);
  const r = Math.min(rank, S.length);
  const [A, B] = [new Float32Array(r * m.in_features), new Float32Array(m.out_features * r)];
  for (let k = 0; k < r; k++) {
    A.set(right[k]!, k * m.in_features);
    for (let o = 0; o < m.out_features; o++) B[o * r + k] = left[k]![o]! * S[k]!;
  }
  return { ...m, r, A, B, scaling: 1 };
}

/**
 * A and B each for themselves, weighted by √|w·s|, the sign on A: PEFT's way. The ranks must agree.
 */
function apart(
  parts: readonly Part[],
  mix: (tensors: readonly Float32Array[], weights: readonly number[]) => Float32Array,
): LoraFactors {
  const [first] = parts;
  const { r, path } = first!.factors;
  if (parts.some(({ factors }) => factors.r !== r))
    throw new RangeError(
      `${path} has other ranks in each adapter: A and B cannot be added up apart. Take cat or svd.`,
    );
  const roots = parts.map(({ factors, weight }) => Math.sqrt(Math.abs(weight * factors.scaling)));
  const signs = parts.map(({ factors, weight }) => (weight * factors.scaling >= 0 ? 1 : -1));
  return {
    ...first!.factors,
    scaling: 1,
    A: mix(
      parts.map((p) => p.factors.A),
      roots.map((root, i) => root * signs[i]!),
    ),
    B: mix(
      parts.map((p) => p.factors.B),
      roots,
    ),
  };
}

function weightedSum(tensors: readonly Float32Array[], weights: readonly number[]): Float32Array {
  return tensors[0]!.map((_, n) =>
    tensors.reduce((sum, tensor, i) => sum + tensor[n]! * weights[i]!, 0),
  );
}

/** Only the numbers of largest size stay. */
function pruned(tensor: Float32Array, density: number): Float32Array {
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
 * TIES (Yadav et al. 2023): numbers against the majority's sign are left out, the others averaged.
 */
function ties(
  tensors: readonly Float32Array[],
  weights: readonly number[],
  method: CombineOptions['majority_sign_method'],
): Float32Array {
  return tensors[0]!.map((_, n) => {
    const values = tensors.map((tensor) => tensor[n]!);
    const majority =
      values.reduce((sum, x) => sum + (method === 'total' ? x : Math.sign(x)), 0) >= 0 ? 1 : -1;
    const agreeing = values.map((x) => Math.sign(x) === majority);
    const sum = values.reduce((total, x, i) => total + (agreeing[i] ? x * weights[i]! : 0), 0);
    return sum / Math.max(1, agreeing.filter(Boolean).length);
  });
}

/** A config that gives each layer the rank and the scale that it has. */
export function withRankPatterns(adapter: Adapter, modules: readonly LoraFactors[]): Adapter {
  const r = mostFrequent(modules.map((m) => m.r));
  const lora_alpha = mostFrequent(modules.map(alphaOf));
  const others = (value: (m: LoraFactors) => number, usual: number) =>
    Object.fromEntries(
      modules
        .filter((m) => value(m) !== usual)
        .map((m) => [m.path.replaceAll('.', '\\.'), value(m)]),
    );
  const config: AdapterConfig = {
    ...adapter.config,
    r,
    lora_alpha,
    use_rslora: false,
    rank_pattern: others((m) => m.r, r),
    alpha_pattern: others(alphaOf, lora_alpha),
    target_modules: modules.map((m) => m.path),
    layers_to_transform: null,
    layers_pattern: null,
    exclude_modules: null,
  };
  return { ...adapter, config, modules };
}

/** lora_alpha of a scale, without the noise of its division by the rank. */
function alphaOf({ scaling, r }: LoraFactors): number {
  const alpha = scaling * r;
  const whole = Math.round(alpha);
  return Math.abs(alpha - whole) <= 1e-12 * Math.abs(alpha) ? whole : alpha;
}

/** The value that most have; the first of those where several are as frequent. */
export function mostFrequent(values: readonly number[]): number {
  const count = new Map<number, number>();
  for (const value of values) count.set(value, (count.get(value) ?? 0) + 1);
  return [...count].reduce((most, own) => (own[1] > most[1] ? own : most))[0];
}
