import type { LoraFactors } from './adapter';
import type { RowUpdate } from './rowUpdates';

/** A row-major matrix. */
export interface Dense {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

/** Fields common to the updates of all LyCORIS methods. */
interface Update {
  readonly path: string;
  readonly scaling: number;
  /** Height and width of a convolution's kernel; null: not in the file. */
  readonly kernel: readonly [number, number] | null;
  readonly magnitude: Float32Array | null;
}

/** LoHa: dW = s · (a1 b1) ∘ (a2 b2), element by element (Hyeon-Woo et al. 2022). */
export interface HadamardUpdate extends Update {
  readonly method: 'LoHa';
  /** Each [out, r] and [r, in]. */
  readonly pairs: readonly [readonly [Dense, Dense], readonly [Dense, Dense]];
}

/** LoKr: dW = s · w1 ⊗ w2 (Yeh et al. 2024). */
export interface KroneckerUpdate extends Update {
  readonly method: 'LoKr';
  readonly left: Dense;
  /** With all positions of a kernel in its columns. */
  readonly right: Dense;
  /** The factors of `right`; null: it is stored whole. */
  readonly factors: readonly [Dense, Dense] | null;
}

export type LycorisUpdate = HadamardUpdate | KroneckerUpdate;

/** a b, summed in float64. */
export function product(a: Dense, b: Dense): Dense {
  const data = new Float32Array(a.rows * b.columns);
  const sum = new Float64Array(b.columns);
  for (let row = 0; row < a.rows; row++) {
    sum.fill(0);
    addRowOf([a, b], row, sum);
    data.set(sum, row * b.columns);
  }
  return { rows: a.rows, columns: b.columns, data };
}

/** Adds row `row` of a b to `sum`. */
function addRowOf([a, b]: readonly [Dense, Dense], row: number, sum: Float64Array): void {
  for (let k = 0; k < a.columns; k++) {
    const factor = a.data[row * a.columns + k]!;
    const start = k * b.columns;
    for (let i = 0; i < b.columns; i++) sum[i]! += factor * b.data[start + i]!;
  }
}

/** Σ over n of core[m, n, position] · down[n, j]: [m, (j, position)]; a Tucker core applied. */
export function withCore(core: Dense, down: Dense): Dense {
  const positions = core.columns / down.rows;
  const data = new Float32Array(core.rows * down.columns * positions);
  const sum = new Float64Array(down.columns * positions);
  for (let m = 0; m < core.rows; m++) {
    sum.fill(0);
    for (let n = 0; n < down.rows; n++)
      for (let j = 0; j < down.columns; j++) {
        const factor = down.data[n * down.columns + j]!;
        for (let p = 0; p < positions; p++)
          sum[j * positions + p]! += factor * core.data[m * core.columns + n * positions + p]!;
      }
    data.set(sum, m * sum.length);
  }
  return { rows: core.rows, columns: sum.length, data };
}

/** The update's rows, times `scale`; the product is never formed. */
export function lycorisRows(update: LycorisUpdate, scale: number): RowUpdate {
  const { kernel, magnitude } = update;
  const own = { ...shapeOf(update), kernel, magnitude, product: null, transposed: null };
  return update.method === 'LoHa'
    ? { ...own, addRow: hadamardRow(update, scale) }
    : { ...own, addRow: kroneckerRow(update, scale) };
}

export function shapeOf(update: LycorisUpdate): {
  readonly out_features: number;
  readonly in_features: number;
} {
  if (update.method === 'LoHa') {
    const [[a, b]] = update.pairs;
    return { out_features: a.rows, in_features: b.columns };
  }
  const { left, right } = update;
  return { out_features: left.rows * right.rows, in_features: left.columns * right.columns };
}

function hadamardRow({ pairs, scaling }: HadamardUpdate, scale: number): RowUpdate['addRow'] {
  const [first, second] = pairs.map(([, b]) => new Float64Array(b.columns)) as [
    Float64Array,
    Float64Array,
  ];
  return (row, sum) => {
    first.fill(0);
    second.fill(0);
    addRowOf(pairs[0], row, first);
    addRowOf(pairs[1], row, second);
    for (let i = 0; i < sum.length; i++) sum[i]! += scaling * scale * first[i]! * second[i]!;
  };
}

function kroneckerRow(
  { left, right, scaling }: KroneckerUpdate,
  scale: number,
): RowUpdate['addRow'] {
  return (row, sum) => {
    const [i, j] = [Math.floor(row / right.rows), row % right.rows];
    for (let m = 0; m < left.columns; m++) {
      const factor = scaling * scale * left.data[i * left.columns + m]!;
      for (let n = 0; n < right.columns; n++)
        sum[m * right.columns + n]! += factor * right.data[j * right.columns + n]!;
    }
  };
}

/** The LoRA rank that holds an update exactly, whatever its values are. */
export function exactRank(update: LycorisUpdate): number {
  if (update.method === 'LoHa') return update.pairs[0][0].columns * update.pairs[1][0].columns;
  const { left, right, factors } = update;
  const inner = factors ? factors[0].columns : Math.min(right.rows, right.columns);
  return Math.min(left.rows, left.columns) * inner;
}

/** The same update as LoRA of `exactRank`. A LoKr update must have factors. */
export function asLora(update: LycorisUpdate, kernel: LoraFactors['kernel']): LoraFactors {
  const { A, B } = update.method === 'LoHa' ? hadamardFactors(update) : kroneckerFactors(update);
  return {
    path: update.path,
    kind: kernel ? 'conv2d' : 'linear',
    r: A.rows,
    in_features: A.columns,
    out_features: B.rows,
    scaling: update.scaling,
    A: A.data,
    B: B.data,
    magnitude: update.magnitude,
    ...(kernel && { kernel }),
  };
}

interface Factors {
  readonly A: Dense;
  readonly B: Dense;
}

/** The columns of B are the products of columns of a1 and a2, the rows of A those of b1 and b2. */
function hadamardFactors({ pairs }: HadamardUpdate): Factors {
  const [[a1, b1], [a2, b2]] = pairs;
  const r = a1.columns * a2.columns;
  const B = new Float32Array(a1.rows * r);
  const A = new Float32Array(r * b1.columns);
  for (let k = 0; k < r; k++) {
    const [i, j] = [Math.floor(k / a2.columns), k % a2.columns];
    for (let o = 0; o < a1.rows; o++)
      B[o * r + k] = a1.data[o * a1.columns + i]! * a2.data[o * a2.columns + j]!;
    for (let x = 0; x < b1.columns; x++)
      A[k * b1.columns + x] = b1.data[i * b1.columns + x]! * b2.data[j * b2.columns + x]!;
  }
  return {
    A: { rows: r, columns: b1.columns, data: A },
    B: { rows: a1.rows, columns: r, data: B },
  };
}

/** w1 ⊗ (a b) = (w1 ⊗ a)(I ⊗ b) = (I ⊗ a)(w1 ⊗ b): w1 goes where the rank becomes smaller. */
function kroneckerFactors({ left, factors }: KroneckerUpdate): Factors {
  const [a, b] = factors!;
  return left.columns <= left.rows
    ? { B: kronecker(left, a), A: kronecker(identity(left.columns), b) }
    : { B: kronecker(identity(left.rows), a), A: kronecker(left, b) };
}

function kronecker(left: Dense, right: Dense): Dense {
  const [rows, columns] = [left.rows * right.rows, left.columns * right.columns];
  const data = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const i = Math.floor(row / right.rows) * left.columns + Math.floor(column / right.columns);
      const j = (row % right.rows) * right.columns + (column % right.columns);
      data[row * columns + column] = left.data[i]! * right.data[j]!;
    }
  return { rows, columns, data };
}

function identity(size: number): Dense {
  const data = new Float32Array(size * size);
  for (let i = 0; i < size; i++) data[i * size + i] = 1;
  return { rows: size, columns: size, data };
}
