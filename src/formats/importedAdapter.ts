import { withRankPatterns } from '../lora/combine';
import { PLAIN_LORA } from '../lora/newAdapter';
import type { Adapter, LoraFactors } from '../lora/adapter';
import { LoraError, type Place, type Problem } from '../shared/errors';
import { checkFinite, checkScale, multiplied } from './checkFinite';

/** An adapter that was read from another format than PEFT's. */
export interface ImportedAdapter {
  readonly adapter: Adapter;
  /** What is odd but usable. */
  readonly warnings: readonly Problem[];
}

/** A and B as a file has them, in PEFT's orientation, with what they belong to. */
export interface ImportedFactors {
  readonly path: string;
  readonly kind: LoraFactors['kind'];
  readonly scaling: number;
  readonly A: Matrix;
  readonly B: Matrix;
  readonly magnitude?: Float32Array | null;
  readonly kernel?: readonly [number, number];
}

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
  readonly place: Place;
}

/** Numbers as a matrix. Errors: LoraError for another shape, or numbers that are not finite. */
export function matrixOf(data: Float32Array, shape: readonly number[], place: Place): Matrix {
  if (shape.length !== 2)
    throw new LoraError(
      'adapter',
      `A factor must be a matrix, but its shape is [${shape.join(', ')}].`,
      { place },
    );
  checkFinite(data, place);
  return { rows: shape[0]!, columns: shape[1]!, data, place };
}

export function transposed({ rows, columns, data, place }: Matrix): Matrix {
  const turned = new Float32Array(data.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      turned[column * rows + row] = data[row * columns + column]!;
  return { rows: columns, columns: rows, data: turned, place };
}

/** Errors: LoraError where A and B do not belong together. */
export function factorsOf({
  path,
  kind,
  scaling,
  A,
  B,
  magnitude = null,
  kernel,
}: ImportedFactors): LoraFactors {
  if (A.rows !== B.columns)
    throw new LoraError(
      'adapter',
      `The ranks of A and B differ: A of ${path} has ${A.rows}, B has ${B.columns}.`,
      { place: A.place },
    );
  if (A.rows === 0 || A.columns === 0 || B.rows === 0)
    throw new LoraError('adapter', `The factors of ${path} are empty.`, { place: A.place });
  checkScale(scaling, path, A.place);
  const own =
    scaling > 0
      ? { scaling, B: B.data }
      : { scaling: 1, B: multiplied(B.data, scaling, path, B.place) }; // PEFT knows no other scales
  return {
    path,
    kind,
    r: A.rows,
    in_features: A.columns,
    out_features: B.rows,
    ...own,
    A: A.data,
    magnitude,
    ...(kernel && { kernel }),
  };
}

/** The PEFT adapter that such factors make. */
export function peftAdapter(
  modules: readonly LoraFactors[],
  base_model_name_or_path: string | null,
  lora_dropout = 0,
): Adapter {
  const use_dora = modules.some((m) => m.magnitude !== null);
  return withRankPatterns(
    {
      config: { ...PLAIN_LORA, use_dora, lora_dropout, base_model_name_or_path, raw: {} },
      modules,
      trained: [],
    },
    modules,
  );
}

/**
 * Factors whose scale is `scaling`: what it lacks goes into B. Errors: LoraError where B cannot
 * take it.
 */
export function rescaled(m: LoraFactors, scaling: number): Float32Array {
  return m.scaling === scaling ? m.B : multiplied(m.B, m.scaling / scaling, m.path);
}
