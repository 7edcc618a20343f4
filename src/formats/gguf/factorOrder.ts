import { LoraError } from '../../shared/errors';
import type { Matrix } from '../importedAdapter';
import type { GgufFamily, GgufStorage } from './family';
import { areOfHeads, keepsRows, toCheckpointOrder, type HeadLayout } from './order';

/**
 * What to do with rows and columns when the file has them in another order than the checkpoint,
 * which depends on the base's heads: restore them, keep them as they are, or refuse them since the
 * base is not known.
 */
export type RowOrder = AdaptedBase | 'as stored' | 'unknown';

/** What the names and the order of an adapter's tensors depend on. */
export interface AdaptedBase extends HeadLayout {
  /** Whether its MLPs have gates. */
  readonly hasGates: boolean;
  /** Its family; null: one without such files. Not given: that of the adapter's architecture. */
  readonly family?: GgufFamily | null;
}

/** The factors of a module. */
interface Factors {
  readonly A: Matrix;
  readonly B: Matrix;
}

/** The factors with the rows of B, or the columns of A, in the checkpoint's order. */
export function inOrder(
  { A, B }: Factors,
  name: string,
  { family, order }: { readonly family: GgufFamily; readonly order: RowOrder },
): Factors {
  const { rows, columns } = factorOrder(name, family);
  if (order === 'as stored' || (rows === 'plain' && columns === 'plain')) return { A, B };
  if (order === 'unknown') {
    const isOfA = rows === 'plain';
    throw new LoraError(
      'adapter',
      `The order of this tensor's ${isOfA ? 'columns' : 'rows'} depends on the head size of the base, which is not given.`,
      { place: isOfA ? A.place : B.place, fix: 'Choose the base (--base).' },
    );
  }
  requireHeads(A, columns, order);
  requireHeads(B, rows, order);
  const ordered = (m: Matrix, storage: GgufStorage): Matrix => ({
    ...m,
    data: toCheckpointOrder(m.data, storage, { ...order, shape: [m.rows, m.columns] }),
  });
  return { A: ordered(A, columns), B: ordered(B, rows) };
}

/** @throws LoraError('adapter') where rows or columns cannot be put in the order of the heads. */
function requireHeads(m: Matrix, storage: GgufStorage, base: AdaptedBase): void {
  const isOfColumns = storage === 'value_columns';
  const count = isOfColumns ? m.columns : m.rows;
  if (areOfHeads(count, storage, base)) return;
  throw new LoraError(
    'adapter',
    `The tensor has ${count} ${isOfColumns ? 'columns' : 'rows'}, which are not those of heads of the base.`,
    { place: m.place, fix: 'Choose the base that the adapter was made for (--base).' },
  );
}

/**
 * The orders of a weight's rows, which are B's too, and of its columns, which are A's. That it is
 * stored transposed affects neither A nor B.
 */
export function factorOrder(
  name: string,
  family: GgufFamily,
): { readonly rows: GgufStorage; readonly columns: GgufStorage } {
  const storage = family.storage(name);
  return {
    rows: keepsRows(storage) ? storage : 'plain',
    columns: storage === 'value_columns' ? storage : 'plain',
  };
}
