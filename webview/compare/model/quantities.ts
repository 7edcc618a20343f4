import type { CompareStringKey } from '../../../src/shared/pages/compare/strings';
import type { ModuleRow } from './modules';

export const QUANTITY_IDS = [
  'norm_a',
  'norm_b',
  'relative_a',
  'relative_b',
  'cosine',
  'difference',
  'left',
  'right',
  'used_a',
  'used_b',
] as const;
export type QuantityId = (typeof QUANTITY_IDS)[number];

/** A number of each module that the map can show. */
export interface ModuleQuantity {
  readonly id: QuantityId;
  /** Text that explains it. */
  readonly about: CompareStringKey;
  /** Null if the module has none. */
  readonly of: (row: ModuleRow) => number | null;
  /** Values at both ends of the colour scale; null: from 0 to the largest value. */
  readonly domain: readonly [number, number] | null;
}

const share = (part: number | undefined, whole: number | null) =>
  part === undefined || whole === null || whole === 0 ? null : part / whole;

export const MODULE_QUANTITIES: readonly ModuleQuantity[] = [
  { id: 'norm_a', about: 'about.norm', of: (m) => m.a?.norm ?? null, domain: null },
  { id: 'norm_b', about: 'about.norm', of: (m) => m.b?.norm ?? null, domain: null },
  {
    id: 'relative_a',
    about: 'about.relative',
    of: (m) => share(m.a?.norm, m.norm_base),
    domain: null,
  },
  {
    id: 'relative_b',
    about: 'about.relative',
    of: (m) => share(m.b?.norm, m.norm_base),
    domain: null,
  },
  { id: 'cosine', about: 'about.cosine', of: (m) => m.cosine, domain: [-1, 1] },
  { id: 'difference', about: 'about.difference', of: (m) => m.difference, domain: null },
  { id: 'left', about: 'about.overlap', of: (m) => m.left?.whole ?? null, domain: [0, 1] },
  { id: 'right', about: 'about.overlap', of: (m) => m.right?.whole ?? null, domain: [0, 1] },
  { id: 'used_a', about: 'about.used', of: (m) => m.a?.effective_rank ?? null, domain: null },
  { id: 'used_b', about: 'about.used', of: (m) => m.b?.effective_rank ?? null, domain: null },
];

/** Quantities that at least one module has; ‖W‖ for one is unknown without a base. */
export const shownQuantities = (rows: readonly ModuleRow[]): ModuleQuantity[] =>
  MODULE_QUANTITIES.filter((quantity) => rows.some((row) => quantity.of(row) !== null));

/** Number of colour levels of a sign. */
export const LEVELS = 8;

/** Maps values to colour levels. */
export interface ColourScale {
  readonly from: number;
  readonly to: number;
  /** The level of a value: 0 to LEVELS, or -LEVELS to LEVELS if the domain has both signs. */
  readonly level: (value: number) => number;
}

export function colourScale(
  { of, domain }: ModuleQuantity,
  rows: readonly ModuleRow[],
): ColourScale {
  const values = rows.map(of).filter((value) => value !== null);
  const [from, to] = domain ?? [0, Math.max(0, ...values)];
  const most = Math.max(Math.abs(from), Math.abs(to));
  const lowest = from < 0 ? -LEVELS : 0;
  const level = (value: number) => {
    if (most === 0) return 0;
    return Math.max(lowest, Math.min(LEVELS, Math.round((LEVELS * value) / most)));
  };
  return { from, to, level };
}

/**
 * Share that random subspaces of the same sizes have in common, averaged over the modules; null for
 * other quantities.
 */
export function randomShare(id: QuantityId, rows: readonly ModuleRow[]): number | null {
  if (id !== 'left' && id !== 'right') return null;
  const values = rows.flatMap((row) => (row[id] ? [row[id].random] : []));
  return values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;
}
