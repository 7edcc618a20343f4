/** VS Code runs the command of a row twice when it is clicked twice. */
const DOUBLE_CLICK_MS = 500;

/** Tells double clicks on rows from single ones. */
export class Clicks {
  private last = { row: '', at: -Infinity };

  /** Whether a click follows one on the same row. `now`: in milliseconds. */
  isDouble(row: string, now: number): boolean {
    const isDouble = row === this.last.row && now - this.last.at < DOUBLE_CLICK_MS;
    this.last = isDouble ? { row: '', at: -Infinity } : { row, at: now };
    return isDouble;
  }
}
