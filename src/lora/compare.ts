import { inModelOrder } from '../shared/modelOrder';
import type { Adapter, AdapterConfig, LoraFactors, TrainedTensor } from './adapter';
import { rankHolding } from './resize';
import {
  implicitUpdateSvd,
  innerProducts,
  sumUpdates,
  updateNorm,
  type ImplicitUpdateSvd,
} from './updateSvd';

/** The effect of one adapter on a layer. */
export interface UpdateFacts {
  readonly r: number;
  readonly scaling: number;
  /** ‖dW‖F */
  readonly norm: number;
  /** Of dW, descending. */
  readonly singular_values: readonly number[];
  /**
   * exp of the entropy of the singular values as shares of their sum (Roy and Vetterli 2007): how
   * many directions matter. 0 for dW = 0.
   */
  readonly effective_rank: number;
  /** How many directions hold 90% and 99% of ‖dW‖². 0 for dW = 0. */
  readonly rank_90: number;
  readonly rank_99: number;
}

/** A layer that both adapters change. */
export interface ModuleComparison {
  readonly path: string;
  readonly a: UpdateFacts;
  readonly b: UpdateFacts;
  /** Of the two dW as vectors, -1 to 1; null where one is zero. */
  readonly cosine: number | null;
  /** ‖dW_a - dW_b‖F */
  readonly norm_of_difference: number;
  readonly left: SubspaceOverlap;
  readonly right: SubspaceOverlap;
}

/**
 * φ(i, j) = ‖U_iᵀV_j‖²F / min(i, j) of the first i and j singular vectors (Hu et al. 2021, 7.2): 1
 * where the smaller space lies in the larger.
 */
export interface SubspaceOverlap {
  /** [i - 1][j - 1] */
  readonly phi: readonly (readonly number[])[];
  /** φ of all directions. */
  readonly whole: number;
  /** The expected φ of random subspaces of these sizes: max(i, j) / d. */
  readonly random: number;
}

export interface ConfigDifference {
  readonly key: string;
  readonly a: unknown;
  readonly b: unknown;
}

/** A layer that only one adapter changes. */
export interface UnsharedModule {
  readonly path: string;
  readonly facts: UpdateFacts;
}

/** A tensor that is trained in full, in at least one of the adapters. */
export interface TrainedDifference {
  readonly name: string;
  /** Null where one adapter lacks it or the sizes differ. */
  readonly norm_of_difference: number | null;
}

/** DoRA's magnitudes of a shared layer, which neither ‖dW‖ nor the cosine contains. */
export interface MagnitudeDifference {
  readonly path: string;
  /** ‖m_a - m_b‖ as a share of the larger norm; null where only one adapter uses DoRA. */
  readonly difference: number | null;
}

/** Norms over all layers, of shared and unshared ones. */
export interface ComparisonTotal {
  readonly norm_a: number;
  readonly norm_b: number;
  readonly norm_of_difference: number;
  readonly cosine: number | null;
}

export interface Comparison {
  readonly modules: readonly ModuleComparison[];
  readonly only_a: readonly UnsharedModule[];
  readonly only_b: readonly UnsharedModule[];
  readonly trained: readonly TrainedDifference[];
  readonly config: readonly ConfigDifference[];
  readonly total: ComparisonTotal;
  /** Whether both have the same effect within the rounding of f32, however A and B are scaled. */
  readonly equal: boolean;
  /** Of the shared layers that use DoRA in one of the adapters. */
  readonly magnitudes: readonly MagnitudeDifference[];
}

/** Differences below this share of the larger norm are rounding in f32. */
const F32_NOISE = 1e-6;

const byPath = (x: { readonly path: string }, y: { readonly path: string }): number =>
  inModelOrder(x.path, y.path);

/** Compares the updates of two adapters, layer by layer, from their factors alone. */
export function compareAdapters(a: Adapter, b: Adapter): Comparison {
  const pairs = sharedLayers(a, b);
  const modules = pairs.map(compareModule);
  const sharedPaths = new Set(modules.map((m) => m.path));
  const only_a = unsharedModules(a, sharedPaths);
  const only_b = unsharedModules(b, sharedPaths);
  const trained = compareTrained(a, b);
  const alone = [a, b].flatMap((adapter) => magnitudesAlone(adapter, sharedPaths));
  const total = totalOf(modules, only_a, only_b);
  const equal =
    total.norm_of_difference <= F32_NOISE * Math.max(total.norm_a, total.norm_b) &&
    pairs.every(haveSameMagnitudes) &&
    [...only_a, ...only_b].every(({ facts }) => facts.norm === 0) &&
    alone.length === 0 &&
    trained.every((t) => t.norm_of_difference === 0);
  const config = configDifferences(a.config, b.config);
  const magnitudes = [...pairs.flatMap(compareMagnitudes), ...alone];
  return { modules, only_a, only_b, trained, config, total, equal, magnitudes };
}

/** One layer in both adapters. */
interface LayerPair {
  readonly a: LoraFactors;
  readonly b: LoraFactors;
}

function sharedLayers(a: Adapter, b: Adapter): LayerPair[] {
  const others = new Map(b.modules.map((m) => [m.path, m]));
  return [...a.modules].sort(byPath).flatMap((m) => {
    const other = others.get(m.path);
    const isShared = other?.in_features === m.in_features && other.out_features === m.out_features;
    return isShared ? [{ a: m, b: other }] : [];
  });
}

function unsharedModules({ modules }: Adapter, shared: ReadonlySet<string>): UnsharedModule[] {
  return modules
    .filter((m) => !shared.has(m.path))
    .sort(byPath)
    .map((m) => ({ path: m.path, facts: measureUpdate(m, implicitUpdateSvd(m)) }));
}

function compareMagnitudes({ a, b }: LayerPair): MagnitudeDifference[] {
  const [x, y] = [a.magnitude, b.magnitude];
  if (!x && !y) return [];
  if (!x || !y) return [{ path: a.path, difference: null }];
  const larger = Math.max(rootOfSquares([...x]), rootOfSquares([...y]));
  const gap = rootOfSquares([...x].map((value, i) => value - y[i]!));
  return [{ path: a.path, difference: larger > 0 ? gap / larger : 0 }];
}

/** The modules that only this adapter has, and that have magnitudes. */
const magnitudesAlone = (
  { modules }: Adapter,
  shared: ReadonlySet<string>,
): MagnitudeDifference[] =>
  modules
    .filter((m) => m.magnitude && !shared.has(m.path))
    .map(({ path }) => ({ path, difference: null }));

/** Whether DoRA's magnitudes agree. */
function haveSameMagnitudes({ a, b }: LayerPair): boolean {
  const [x, y] = [a.magnitude, b.magnitude];
  if (x === null || y === null) return x === y;
  return x.every((value, i) => Math.abs(value - y[i]!) <= F32_NOISE * Math.abs(value));
}

function compareModule(pair: LayerPair): ModuleComparison {
  const { a, b } = pair;
  const [svdA, svdB] = [implicitUpdateSvd(a), implicitUpdateSvd(b)];
  const [factsA, factsB] = [measureUpdate(a, svdA), measureUpdate(b, svdB)];
  const left = innerProducts(svdA.left, svdB.left);
  const right = innerProducts(svdA.right, svdB.right);
  let inner = 0; // ⟨dW_a, dW_b⟩ = Σ s_i t_j ⟨u_i, u_j⟩ ⟨v_i, v_j⟩
  for (const [i, s] of svdA.S.entries()) {
    for (const [j, t] of svdB.S.entries()) inner += s * t * left[i]![j]! * right[i]![j]!;
  }
  const squares = factsA.norm ** 2 + factsB.norm ** 2;
  return {
    path: a.path,
    a: factsA,
    b: factsB,
    cosine: cosineOf(inner, factsA.norm, factsB.norm),
    norm_of_difference: differenceNorm(pair, squares, squares - 2 * inner),
    left: overlap(left, a.out_features),
    right: overlap(right, a.in_features),
  };
}

/**
 * ‖dW_a - dW_b‖F by the law of cosines. Where the two are nearly the same, that leaves too few
 * digits: then from the factors of the difference.
 *
 * @param squares ‖dW_a‖² + ‖dW_b‖²
 * @param square ‖dW_a - dW_b‖² by the law of cosines
 */
function differenceNorm({ a, b }: LayerPair, squares: number, square: number): number {
  if (square > 1e-6 * squares) return Math.sqrt(square);
  return updateNorm(
    sumUpdates([
      { factors: a, weight: 1 },
      { factors: b, weight: -1 },
    ]),
  );
}

function cosineOf(inner: number, normA: number, normB: number): number | null {
  if (!(normA > 0 && normB > 0)) return null;
  return Math.min(1, Math.max(-1, inner / (normA * normB)));
}

/** Norm, spectrum and ranks of an update, from its singular values. */
export function measureUpdate(
  { r, scaling }: Pick<LoraFactors, 'r' | 'scaling'>,
  { S }: Pick<ImplicitUpdateSvd, 'S'>,
): UpdateFacts {
  const squares = S.map((s) => s * s);
  const total = squares.reduce((a, b) => a + b, 0);
  const rankOf = (share: number) => (total === 0 ? 0 : rankHolding(squares, share * total));
  return {
    r,
    scaling,
    norm: Math.sqrt(total),
    singular_values: [...S],
    effective_rank: effectiveRank(S),
    rank_90: rankOf(0.9),
    rank_99: rankOf(0.99),
  };
}

function effectiveRank(S: Float64Array): number {
  const sum = S.reduce((a, b) => a + b, 0);
  if (sum === 0) return 0;
  let entropy = 0;
  for (const s of S) {
    if (s > 0) entropy -= (s / sum) * Math.log(s / sum);
  }
  return Math.exp(entropy);
}

/**
 * @param cosines [i][j]: inner product of singular vector i of the one and j of the other.
 * @param d Dimension of the space.
 */
function overlap(cosines: readonly (readonly number[])[], d: number): SubspaceOverlap {
  const sums: number[][] = []; // [i][j]: Σ cosines², rows up to i, columns up to j
  for (const [i, row] of cosines.entries()) {
    let inRow = 0;
    sums.push(
      row.map((cosine, j) => {
        inRow += cosine ** 2;
        return inRow + (i > 0 ? sums[i - 1]![j]! : 0);
      }),
    );
  }
  const phi = sums.map((row, i) => row.map((sum, j) => sum / Math.min(i + 1, j + 1)));
  return {
    phi,
    whole: phi.at(-1)?.at(-1) ?? 0,
    random: Math.min(1, Math.max(cosines.length, cosines[0]?.length ?? 0) / d),
  };
}

function compareTrained(a: Adapter, b: Adapter): TrainedDifference[] {
  const inA = new Map(a.trained.map((t) => [nameOf(t), t.data]));
  const inB = new Map(b.trained.map((t) => [nameOf(t), t.data]));
  const names = new Set([...inA.keys(), ...inB.keys()]);
  return [...names].map((name) => {
    const [x, y] = [inA.get(name), inB.get(name)];
    if (!x || x.length !== y?.length) return { name, norm_of_difference: null };
    const square = x.reduce((sum, value, i) => sum + (value - y[i]!) ** 2, 0);
    return { name, norm_of_difference: Math.sqrt(square) };
  });
}

/** Rows of other tokens are other tensors. */
const nameOf = ({ name, rows }: TrainedTensor): string =>
  rows ? `${name}, rows ${rows.join(', ')}` : name;

function totalOf(
  modules: readonly ModuleComparison[],
  only_a: readonly UnsharedModule[],
  only_b: readonly UnsharedModule[],
): ComparisonTotal {
  const [alone_a, alone_b] = [only_a, only_b].map((own) => own.map(({ facts }) => facts.norm));
  const norm_a = rootOfSquares([...modules.map((m) => m.a.norm), ...alone_a!]);
  const norm_b = rootOfSquares([...modules.map((m) => m.b.norm), ...alone_b!]);
  const inner = modules.reduce((sum, m) => sum + (m.cosine ?? 0) * m.a.norm * m.b.norm, 0);
  const differences = modules.map((m) => m.norm_of_difference);
  return {
    norm_a,
    norm_b,
    norm_of_difference: rootOfSquares([...differences, ...alone_a!, ...alone_b!]),
    cosine: cosineOf(inner, norm_a, norm_b),
  };
}

const rootOfSquares = (values: readonly number[]): number =>
  Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));

/** Keys that do not change an adapter's effect. */
const IGNORED_KEYS = new Set(['peft_version', 'inference_mode', 'auto_mapping', 'revision']);

function configDifferences(a: AdapterConfig, b: AdapterConfig): ConfigDifference[] {
  const [x, y] = [withRawKeys(a), withRawKeys(b)];
  return [...new Set([...Object.keys(x), ...Object.keys(y)])]
    .sort()
    .filter((key) => !IGNORED_KEYS.has(key) && comparable(x[key]) !== comparable(y[key]))
    .map((key) => ({ key, a: x[key] ?? null, b: y[key] ?? null }));
}

const withRawKeys = ({ raw, ...known }: AdapterConfig): Record<string, unknown> => ({
  ...raw,
  ...known,
});

/** A missing value is null, and the order of a list does not count. */
function comparable(value: unknown): string {
  if (!Array.isArray(value)) return JSON.stringify(value ?? null);
  return JSON.stringify(value.map(String).sort());
}
