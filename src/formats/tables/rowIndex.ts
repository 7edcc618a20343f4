import { NumberList } from '../../common/numberList';
import { START, type Mark } from './table';

/** Rows between two marks that are kept. */
const LEAST_ROWS = 64;

/**
 * Where rows of a file begin, about one for each batch of rows: 24 bytes each. It grows while the
 * file is read from its start, in whatever parts.
 */
export class RowIndex {
  private readonly rows = NumberList.ofOffsets();
  private readonly numbers = NumberList.ofOffsets();
  private readonly offsets = NumberList.ofOffsets();
  private total: number | null;

  constructor(count: number | null) {
    this.total = count;
    this.push(START);
  }

  /** All rows; null: the end of the file is not known yet. */
  get count(): number | null {
    return this.total;
  }

  /** A mark that was reached from another one of the index. */
  add(mark: Mark): void {
    if (mark.row >= this.last + LEAST_ROWS) this.push(mark);
  }

  /** The file ends after this many rows. */
  end(count: number): void {
    this.total = count;
  }

  /** The nearest mark at or before a row. */
  before(row: number): Mark {
    let [low, high] = [0, this.rows.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.rows.at(middle) <= row) low = middle;
      else high = middle - 1;
    }
    return {
      row: this.rows.at(low),
      number: this.numbers.at(low),
      offset: this.offsets.at(low),
    };
  }

  private get last(): number {
    return this.rows.at(this.rows.length - 1);
  }

  private push({ row, number, offset }: Mark): void {
    this.rows.push(row);
    this.numbers.push(number);
    this.offsets.push(offset);
  }
}
