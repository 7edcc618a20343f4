import type { ComparisonData } from '../../src/shared/pages/compare/protocol';
import type { CompareStringKey } from '../../src/shared/pages/compare/strings';
import type { Formatter } from '../shared/format';
import type { ModuleRow } from './model/modules';
import type { QuantityId } from './model/quantities';
import type { Sorting } from './model/table';

/** What is shown, and what of it the user has chosen. */
export interface View {
  readonly names: readonly [string, string];
  /** Both are of runs. */
  readonly curves: boolean;
  readonly data: ComparisonData;
  readonly rows: readonly ModuleRow[];
  readonly quantity: QuantityId;
  /** Path of a module. */
  readonly selected: string;
  readonly sorting: Sorting;
  readonly filter: string;
}

export type Choice = Partial<Pick<View, 'quantity' | 'selected' | 'sorting' | 'filter'>>;

/** A part of the page; `update` changes only what differs. */
export interface Part {
  readonly root: HTMLElement;
  update(view: View): void;
}

/** What every part needs. */
export interface Context {
  readonly format: Formatter;
  readonly t: (key: CompareStringKey, ...values: readonly (string | number)[]) => string;
  /** The choices as they are now: what is drawn may be a frame behind. */
  readonly now: () => View;
  readonly choose: (choice: Choice) => void;
  readonly openDiff: () => void;
  /** Both in the playground. */
  readonly tryBoth: () => void;
  readonly overlayCurves: () => void;
}

/** Three digits, and a dash for what is none. */
export const orNone = ({ format, t }: Context, value: number | null | undefined): string =>
  value === null || value === undefined ? t('none') : short(format, value);

/** Short enough for a cell. */
export function short(format: Formatter, value: number): string {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5)
    ? format.exponent(Number(value.toPrecision(2)))
    : format.digits(value, 3);
}
