import type { CompareStringKey } from '../../../src/shared/pages/compare/strings';
import type { ModuleRow } from './modules';

/** What a cosine says. */
export function agreement(cosine: number): CompareStringKey {
  if (cosine > 0.9) return 'words.same';
  if (cosine > 0.2) return 'words.partly';
  return cosine > -0.2 ? 'words.apart' : 'words.against';
}

export interface Ranks {
  /** The largest, as each module is given it. */
  readonly paid: number;
  /** The mean of the effective ranks. */
  readonly used: number;
}

export function ranksOf(rows: readonly ModuleRow[], which: 'a' | 'b'): Ranks | null {
  const facts = rows.flatMap((row) => (row[which] ? [row[which]] : []));
  return facts.length === 0
    ? null
    : {
        paid: Math.max(...facts.map((f) => f.r)),
        used: facts.reduce((sum, f) => sum + f.effective_rank, 0) / facts.length,
      };
}
