import { NumberList } from '../../common/numberList';
import type { WantedRows } from '../../shared/pages/data/protocol';

/** The rows that a page shows. */
export interface View {
  readonly id: number;
  readonly wanted: WantedRows;
  /** Null: all rows. */
  readonly rows: NumberList | null;
}

export const NO_FILTER: WantedRows = {
  filter: 'all',
  text: '',
  isPattern: false,
  matchCase: false,
};

export const viewOf = (id: number, wanted: WantedRows): View => ({
  id,
  wanted,
  rows: wanted.filter === 'all' && wanted.text === '' ? null : NumberList.ofInts(),
});
