import type { CompareStringKey } from '../../../src/shared/pages/compare/strings';
import type { ModuleRow } from './modules';

/** The text that interprets a cosine. */
export function agreement(cosine: number): CompareStringKey {
  if (cosine > 0.9) return 'words.same';
  if (cosine > 0.2) return 'words.partly';
  return cosine > -0.2 ? 'words.apart' : 'words.against';
}

/** The ranks of one adapter. */
export interface AdapterRanks {
  /** The largest rank of a module. */
  readonly highest: number;
  /** The mean of the effective ranks. */
  readonly effective: number;
}

/** Null if the adapter changes none of the modules. */
export function adapterRanks(rows: readonly ModuleRow[], which: 'a' | 'b'): AdapterRanks | null {
  const facts = rows.flatMap((row) => (row[which] ? [row[which]] : []));
  if (facts.length === 0) return null;
  return {
    highest: Math.max(...facts.map((own) => own.r)),
    effective: facts.reduce((sum, own) => sum + own.effective_rank, 0) / facts.length,
  };
}
