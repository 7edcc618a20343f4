/** The assumed cost of each further row before it is measured, as a share of the first one. */
const FURTHER_ROW = 0.15;
/** The least that further rows count for, whatever is measured. */
const LEAST_FURTHER_ROW = 0.03;
/** How fast other work on the machine, and a text that grows, change the times of all steps. */
const LOAD_RATE = 0.3;
/** The least share of a new measurement in what a number of rows costs. */
const LEAST_RATE = 0.1;
/** More than e times the expected time is due to other work. */
const MOST_SURPRISE = 1;
/**
 * How fast costs that are no longer measured return to the assumed ones, so that they are tried
 * again.
 */
const FORGETTING = 0.002;

interface Cost {
  /** Of the logarithm of how many times as long as one row so many take. */
  log: number;
  measured: number;
}

/**
 * What steps of some rows cost, as measured in this process: the time of a step is what one row
 * takes at present, which other work on the machine changes, times the cost of its rows.
 */
export class StepTimes {
  private readonly costs = new Map<number, Cost>();
  /** Logarithm of the milliseconds of a step of one row at present; null before the first step. */
  private load: number | null = null;

  add(rows: number, milliseconds: number): void {
    const time = Math.log(Math.max(1e-3, milliseconds));
    const cost = this.costOf(rows);
    this.load ??= time - cost.log;
    const surprise = time - this.load - cost.log;
    const bounded = Math.max(-MOST_SURPRISE, Math.min(MOST_SURPRISE, surprise));
    this.load += LOAD_RATE * bounded;
    if (rows > 1) {
      const measured = cost.measured + 1;
      const rate = Math.max(LEAST_RATE, 1 / (measured + 1));
      this.costs.set(rows, { log: cost.log + rate * bounded, measured });
    }
    for (const [other, own] of this.costs)
      if (other !== rows) own.log += FORGETTING * (thought(other) - own.log);
  }

  /** How many times as long as a step of `from` rows one of `to` rows takes, which are more. */
  ratio(from: number, to: number): number {
    const least = 1 + LEAST_FURTHER_ROW * (to - from);
    return Math.max(least, Math.exp(this.costOf(to).log - this.costOf(from).log));
  }

  /** What is measured, or else what the nearest number of rows that is measured says. */
  private costOf(rows: number): Cost {
    const own = this.costs.get(rows);
    if (own) return own;
    const measured = rows > 1 ? [...this.costs.keys()] : [];
    const [near] = measured.sort((a, b) => Math.abs(a - rows) - Math.abs(b - rows));
    if (near === undefined) return { log: thought(rows), measured: 0 };
    const log = (this.costs.get(near)!.log * thought(rows)) / thought(near);
    return { log, measured: 0 };
  }
}

const thought = (rows: number): number => Math.log(1 + FURTHER_ROW * (rows - 1));
