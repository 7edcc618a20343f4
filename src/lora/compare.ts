import {
  implicitUpdateSvd,
  innerProducts,
  sumUpdates,
  updateNorm,
  type UpdateSvd,
} from './updateSvd';
import type { Adapter, AdapterConfig, LoraFactors } from './adapter';

/** What one adapter does to a layer. */
export interface UpdateFacts {
  readonly r: number;
  readonly scaling: number;
  /** ‖dW‖F */
  readonly norm: number;
  /** Of dW, descending. */
  readonly singular_values: readonly number[];
  /**
   * exp of the entropy of the singular values' shares (Roy and Vetterli 2007): how many directions
   * count.
   */
  readonly effective_rank: number;
  /** How many directions hold 90 % and 99 % of ‖dW‖². */
  readonly rank_90: number;
  readonly rank_99: number;
}

/** One layer in both. */
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
 * φ(i, j) = ‖U_iᵀV_j‖²F / min(i, j) of the first i and j singular vectors (LoRA paper, 7.2): 1
 * where the smaller space lies in the larger.
 */
export interface SubspaceOverlap {
  /** [i - 1][j - 1] */
  readonly phi: readonly (readonly number[])[];
  /** Of all directions. */
  readonly whole: number;
  /** What random subspaces of these sizes have on average: max(i, j) / d. */
  readonly random: number;
}

export interface ConfigDifference {
  readonly key: string;
  readonly a: unknown;
  readonly b: unknown;
}

export interface Comparison {
  readonly modules: readonly ModuleComparison[];
  readonly only_a: readonly { readonly path: string; readonly facts: UpdateFacts }[];
  readonly only_b: readonly { readonly path: string; readonly facts: UpdateFacts }[];
  /** Tensors trained whole: which of them differ, and by how much. */
  readonly trained: readonly {
    readonly name: string;
    readonly norm_of_difference: number | null;
  }[];
  readonly config: readonly ConfigDifference[];
  readonly total: {
    readonly norm_a: number;
    readonly norm_b: number;
    readonly norm_of_difference: number;
    readonly cosine: number | null;
  };
  /** Same effect within f32's noise, however the factors are scaled. */
  readonly equal: boolean;
}

/** Differences below this share of the larger norm are f32's rounding. */
const NOISE = 1e-6;

/** Layer 2 before layer 10. */
export const byNumber = new Intl.Collator('en', { numeric: true });

/** Compares what two adapters do, layer by layer, from their factors alone. */
export function compareAdapters(a: Adapter, b: Adapter): Comparison {
  const byPath = new Map(b.modules.map((m) => [m.path, m]));
  const shared = a.modules
    .filter((m) => isSameLayer(m, byPath.get(m.path)))
    .sort((x, y) => byNumber.compare(x.path, y.path));
  const sharedPaths = new Set(shared.map((m) => m.path));
  const modules = shared.map((m) => compareModule(m, byPath.get(m.path)!));
  const alone = (own: Adapter) =>
    own.modules
      .filter((m) => !sharedPaths.has(m.path))
      .sort((x, y) => byNumber.compare(x.path, y.path))
      .map((m) => ({ path: m.path, facts: measureUpdate(m, implicitUpdateSvd(m)) }));
  const [only_a, only_b, trained] = [alone(a), alone(b), compareTrained(a, b)];
  const total = totalOf(
    modules,
    only_a.map((m) => m.facts.norm),
    only_b.map((m) => m.facts.norm),
  );
  const equal =
    total.norm_of_difference <= NOISE * Math.max(total.norm_a, total.norm_b) &&
    sameMagnitudes(shared, byPath) &&
    only_a.every(({ facts }) => facts.norm === 0) &&
    only_b.every(({ facts }) => facts.norm === 0) &&
    trained.every((t) => t.norm_of_difference === 0);
  return {
    modules,
    only_a,
    only_b,
    trained,
    config: configDifferences(a.config, b.config),
    total,
    equal,
  };
}

function isSameLayer(m: LoraFactors, other: LoraFactors | undefined): boolean {
  return (
    other !== undefined &&
    other.in_features === m.in_features &&
    other.out_features === m.out_features
  );
}

/** DoRA's lengths must agree too. */
function sameMagnitudes(
  shared: readonly LoraFactors[],
  byPath: ReadonlyMap<string, LoraFactors>,
): boolean {
  return shared.every(({ path, magnitude }) => {
    const other = byPath.get(path)!.magnitude;
    return magnitude === null
      ? other === null
      : other !== null && magnitude.every((x, i) => Math.abs(x - other[i]!) <= NOISE * Math.abs(x));
  });
}

function compareModule(a: LoraFactors, b: LoraFactors): ModuleComparison {
  const [x, y] = [implicitUpdateSvd(a), implicitUpdateSvd(b)];
  const [fa, fb] = [measureUpdate(a, x), measureUpdate(b, y)];
  const [left, right] = [innerProducts(x.left, y.left), innerProducts(x.right, y.right)];
  let inner = 0; // ⟨dW_a, dW_b⟩ by the singular vectors
  for (const [i, s] of x.S.entries())
    for (const [j, t] of y.S.entries()) inner += s * t * left[i]![j]! * right[i]![j]!;
  return {
    path: a.path,
    a: fa,
    b: fb,
    cosine: cosineOf(inner, fa.norm, fb.norm),
    norm_of_difference: differenceNorm(a, b, fa.norm, fb.norm, inner),
    left: overlap(left, a.out_features),
    right: overlap(right, a.in_features),
  };
}

/**
 * By the cosine rule where that leaves enough digits, from the factors of the difference where the
 * two are nearly the same.
 */
function differenceNorm(
  a: LoraFactors,
  b: LoraFactors,
  norm_a: number,
  norm_b: number,
  inner: number,
): number {
  const square = norm_a ** 2 + norm_b ** 2 - 2 * inner;
  return square > 1e-6 * (norm_a ** 2 + norm_b ** 2)
    ? Math.sqrt(square)
    : updateNorm(
        sumUpdates([
          { factors: a, weight: 1 },
          { factors: b, weight: -1 },
        ]),
      );
}

const cosineOf = (dot: number, a: number, b: number) =>
  a > 0 && b > 0 ? Math.min(1, Math.max(-1, dot / (a * b))) : null;

export function measureUpdate(
  { r, scaling }: Pick<LoraFactors, 'r' | 'scaling'>,
  { S }: Pick<UpdateSvd, 'S'>,
): UpdateFacts {
  const square = S.reduce((sum, s) => sum + s * s, 0);
  const sum = S.reduce((a, b) => a + b, 0);
  const entropy =
    sum === 0 ? 0 : S.reduce((h, s) => (s > 0 ? h - (s / sum) * Math.log(s / sum) : h), 0);
  const holding = (share: number) => {
    let held = 0;
    return square === 0
      ? 0
      : S.findIndex((s) => (held += s * s) >= share * square * (1 - 1e-12)) + 1;
  };
  return {
    r,
    scaling,
    norm: Math.sqrt(square),
    singular_values: [...S],
    effective_rank: sum === 0 ? 0 : Math.exp(entropy),
    rank_90: holding(0.9),
    rank_99: holding(0.99),
  };
}

/** From the products of all singular vectors of the one with all of the other. */
function overlap(cosines: readonly (readonly number[])[], d: number): SubspaceOverlap {
  const squares = cosines.map((row) => row.map((cosine) => cosine ** 2));
  const phi: number[][] = [];
  for (let i = 0; i < squares.length; i++) {
    let row = 0;
    phi.push(
      squares[i]!.map((square, j) => {
        row += square;
        return row + (i > 0 ? phi[i - 1]![j]! * Math.min(i, j + 1) : 0); // a sum still
      }).map((sum, j) => sum / Math.min(i + 1, j + 1)),
    );
  }
  return {
    phi,
    whole: phi.at(-1)?.at(-1) ?? 0,
    random: Math.min(1, Math.max(squares.length, squares[0]?.length ?? 0) / d),
  };
}

function compareTrained(a: Adapter, b: Adapter): Comparison['trained'] {
  const other = new Map(b.trained.map((t) => [t.name, t.data]));
  const names = new Set([...a.trained, ...b.trained].map((t) => t.name));
  const own = new Map(a.trained.map((t) => [t.name, t.data]));
  return [...names].map((name) => {
    const [x, y] = [own.get(name), other.get(name)];
    return {
      name,
      norm_of_difference:
        x?.length === y?.length && x && y
          ? Math.sqrt(x.reduce((sum, v, i) => sum + (v - y[i]!) ** 2, 0))
          : null,
    };
  });
}

function totalOf(
  modules: readonly ModuleComparison[],
  only_a: readonly number[],
  only_b: readonly number[],
): Comparison['total'] {
  const dot = modules.reduce((sum, m) => sum + (m.cosine ?? 0) * m.a.norm * m.b.norm, 0);
  const root = (values: readonly number[]) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
  const [norm_a, norm_b] = [
    root([...modules.map((m) => m.a.norm), ...only_a]),
    root([...modules.map((m) => m.b.norm), ...only_b]),
  ];
  const norm_of_difference = root([
    ...modules.map((m) => m.norm_of_difference),
    ...only_a,
    ...only_b,
  ]);
  return { norm_a, norm_b, norm_of_difference, cosine: cosineOf(dot, norm_a, norm_b) };
}

/** Keys that say nothing of what an adapter does. */
const UNTOLD = new Set(['peft_version', 'inference_mode', 'auto_mapping', 'revision']);

function configDifferences(a: AdapterConfig, b: AdapterConfig): ConfigDifference[] {
  const whole = ({ raw, ...own }: AdapterConfig): Record<string, unknown> => ({ ...raw, ...own });
  const [x, y] = [whole(a), whole(b)];
  const text = (value: unknown) =>
    JSON.stringify(
      Array.isArray(value) ? [...(value as unknown[])].map(String).sort() : (value ?? null),
    );
  return [...new Set([...Object.keys(x), ...Object.keys(y)])]
    .sort()
    .filter((key) => !UNTOLD.has(key) && text(x[key]) !== text(y[key]))
    .map((key) => ({ key, a: x[key] ?? null, b: y[key] ?? null }));
}
