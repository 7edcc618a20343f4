import { withRankPatterns } from '../lora/combine';
import { PLAIN_LORA } from '../lora/newAdapter';
import type { Adapter, LoraFactors } from '../lora/adapter';
import { LoraError, type Place, type Problem } from '../shared/errors';
import { checkFinite, checkScale, multiplied } from './checkFinite';

/** An adapter that was read, of any format. */
export interface ImportedAdapter {
  readonly adapter: Adapter;
  /** Warnings: unusual but not an error. */
  readonly warnings: readonly Problem[];
}

/** The factors of a module as read from a file, in PEFT's orientation: A [r, in], B [out, r]. */
export interface ImportedFactors {
  readonly path: string;
  readonly kind: LoraFactors['kind'];
  readonly scaling: number;
  readonly A: Matrix;
  readonly B: Matrix;
  readonly magnitude?: Float32Array | null;
  readonly kernel?: readonly number[];
}

/** A row-major matrix and where it is from. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
  readonly place: Place;
}

/** @throws LoraError('adapter') when it is not a matrix, or a value is not finite. */
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

/** The transposed matrix, as a copy. */
export function transposed({ rows, columns, data, place }: Matrix): Matrix {
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      result[column * rows + row] = data[row * columns + column]!;
  return { rows: columns, columns: rows, data: result, place };
}

/**
 * The factors of a module of an adapter. A scale that is not positive, which PEFT doesn't have, is
 * multiplied into B.
 *
 * @throws LoraError('adapter') when A and B don't fit, are empty, or the scale is not finite.
 */
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
      : { scaling: 1, B: multiplied(B.data, scaling, path, B.place) };
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

/** @throws LoraError('adapter') when another module of the file has the same path. */
export function refuseSameModule(
  other: string | undefined,
  name: string,
  path: string,
  file: string,
): void {
  if (other === undefined) return;
  throw new LoraError(
    'adapter',
    `${other} and ${name} are different modules of the file, but both are ${path} here.`,
    { place: { file }, fix: 'Use the base that the adapter was trained on, or split the file.' },
  );
}

/** An adapter with these modules, as PEFT would describe it. */
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
 * B for a module whose scale shall be `scaling` instead of its own.
 *
 * @throws LoraError('adapter') when float32 cannot hold the result.
 */
export function rescaled(m: LoraFactors, scaling: number): Float32Array {
  return m.scaling === scaling ? m.B : multiplied(m.B, m.scaling / scaling, m.path);
}
