import type {
  CompareHostMessage,
  ComparePageMessage,
  ComparePageState,
  ComparisonData,
} from '../../src/shared/pages/compare/protocol';
import type { CompareStringKey } from '../../src/shared/pages/compare/strings';
import type { Formatter } from '../shared/format';
import type { Page } from '../shared/page';
import { moduleRows, type ModuleRow } from './model/modules';
import { QUANTITY_IDS, shownQuantities, type QuantityId } from './model/quantities';
import { MODULE_COLUMNS, type ModuleSorting } from './model/table';

/** The comparison as it is shown, with the user's choices. */
export interface ShownComparison {
  readonly names: readonly [string, string];
  /** Whether both adapters belong to runs, whose curves can be overlaid. */
  readonly curves: boolean;
  readonly data: ComparisonData;
  readonly rows: readonly ModuleRow[];
  readonly quantity: QuantityId;
  /** Path of the chosen module; empty without modules. */
  readonly selected: string;
  readonly sorting: ModuleSorting;
  readonly filter: string;
}

export interface CompareState {
  readonly kept: ComparePageState;
  readonly shown: ShownComparison | null;
  /** Why the comparison failed. */
  readonly failure: string | null;
}

export type ComparePage = Page<CompareState, ComparePageMessage, CompareStringKey>;

export function reduceCompare(state: CompareState, message: CompareHostMessage): CompareState {
  if (message.kind === 'failed') return { ...state, failure: message.message };
  return { ...state, failure: null, shown: shownComparison(message, state.kept) };
}

/** Choices that VS Code kept hold as far as they fit the comparison. */
function shownComparison(
  { names, curves, comparison }: Extract<CompareHostMessage, { kind: 'comparison' }>,
  kept: ComparePageState,
): ShownComparison {
  const rows = moduleRows(comparison);
  const available = shownQuantities(rows).map(({ id }) => id);
  const wanted = QUANTITY_IDS.find((id) => id === kept.quantity);
  return {
    names,
    curves,
    data: comparison,
    rows,
    quantity: wanted && available.includes(wanted) ? wanted : (available[0] ?? 'norm_a'),
    selected: rows.find(({ path }) => path === kept.selected)?.path ?? rows[0]?.path ?? '',
    sorting: {
      column: MODULE_COLUMNS.find((column) => column === kept.sort) ?? 'path',
      descending: kept.descending ?? false,
    },
    filter: kept.filter ?? '',
  };
}

/** Shows a choice of the user and keeps it through reloads. */
export function showChoice(
  { state, change }: ComparePage,
  choice: Partial<Pick<ShownComparison, 'quantity' | 'selected' | 'sorting' | 'filter'>>,
): void {
  if (!state.shown) return;
  const shown = { ...state.shown, ...choice };
  const { quantity, selected, sorting, filter } = shown;
  const { column: sort, descending } = sorting;
  change({ shown, kept: { ...state.kept, quantity, selected, sort, descending, filter } });
}

/** Three digits, or a dash for no number. */
export const orNone = ({ format, t }: ComparePage, value: number | null | undefined): string =>
  value === null || value === undefined ? t('none') : short(format, value);

/** A number that is short enough for a cell. */
export function short(format: Formatter, value: number): string {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5)
    ? format.exponent(Number(value.toPrecision(2)))
    : format.digits(value, 3);
}
