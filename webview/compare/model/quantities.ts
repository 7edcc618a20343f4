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

export interface Quantity {
  readonly id: QuantityId;
  readonly about: CompareStringKey;
  /** Null where the module has none. */
  readonly of: (row: ModuleRow) => number | null;
  /** What the ends of the colours stand for; null: the largest value there is, from 0. */
  readonly domain: readonly [number, number] | null;
}

const share = (part: number | undefined, whole: number | null) =>
  part === undefined || whole === null || whole === 0 ? null : part / whole;

export const QUANTITIES: readonly Quantity[] = [
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

/** Those that some module has a value of: without a base there is no ‖W‖. */
export const shownQuantities = (rows: readonly ModuleRow[]): Quantity[] =>
  QUANTITIES.filter((quantity) => rows.some((row) => quantity.of(row) !== null));

/** Colours that a value can have, from none to full. */
export const LEVELS = 8;

export interface ColourScale {
  readonly from: number;
  readonly to: number;
  /** Of a value: 0 to LEVELS; of a domain with both signs -LEVELS to LEVELS. */
  readonly level: (value: number) => number;
}

export function scaleOf({ of, domain }: Quantity, rows: readonly ModuleRow[]): ColourScale {
  const values = rows.map(of).filter((value) => value !== null);
  const [from, to] = domain ?? [0, Math.max(0, ...values)];
  const most = Math.max(Math.abs(from), Math.abs(to));
  return {
    from,
    to,
    level: (value) =>
      most === 0
        ? 0
        : Math.max(from < 0 ? -LEVELS : 0, Math.min(LEVELS, Math.round((LEVELS * value) / most))),
  };
}

/** What random subspaces of these sizes share on average: the mean over the modules. */
export function randomShare(id: QuantityId, rows: readonly ModuleRow[]): number | null {
  if (id !== 'left' && id !== 'right') return null;
  const values = rows.flatMap((row) => (row[id] ? [row[id].random] : []));
  return values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;
}
