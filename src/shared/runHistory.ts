import type { MetricLine, OtherLine, StepColumns, StepLine } from './metrics/lines';
import {
  COMPARED_FIELDS,
  COMPARED_MARKS,
  STEP_FIELDS,
  type ComparedField,
  type StepField,
} from './metrics/table';

/**
 * A run's metrics in memory: the steps as growing columns, everything else as lines. Step numbers
 * increase strictly.
 */
export class RunHistory {
  private capacity: number;
  private columns: Record<StepField, Float64Array>;
  /** Only of runs that compare answers. */
  private readonly compared = new Map<ComparedField, Float64Array>();
  private others: OtherLine[];
  private count: number;
  private removals = 0;

  /** `isOutline`: only some of the steps are known, enough to draw the run. */
  constructor(
    steps?: StepColumns,
    lines: readonly OtherLine[] = [],
    readonly isOutline = false,
  ) {
    this.count = steps?.step.length ?? 0;
    this.capacity = Math.max(1024, this.count);
    this.columns = mapColumns((field) =>
      grown(steps?.[field] ?? new Float64Array(0), this.capacity),
    );
    for (const field of COMPARED_FIELDS) {
      const column = steps?.[field];
      if (column) this.compared.set(field, grown(column, this.capacity));
    }
    this.others = [...lines];
  }

  /** Number of steps. */
  get length(): number {
    return this.count;
  }

  /** All lines except steps, in the order in which they were written. */
  get lines(): readonly OtherLine[] {
    return this.others;
  }

  /**
   * Increases when steps are removed again. Anything derived from the history is invalid when it
   * changes.
   */
  get revision(): number {
    return this.removals;
  }

  /** Number of the last step; 0 before the first. */
  get lastStep(): number {
    return this.count === 0 ? 0 : this.columns.step[this.count - 1]!;
  }

  /**
   * The values of a field for all steps: a view, valid until the next append. Empty for a field of
   * compared answers that no step has.
   */
  column(field: StepField | ComparedField): Float64Array {
    const column = isCompared(field) ? this.compared.get(field) : this.columns[field];
    return (column ?? NONE).subarray(0, this.count);
  }

  /** The fields of compared answers that the steps have. */
  get comparedFields(): readonly ComparedField[] {
    return COMPARED_FIELDS.filter((field) => this.compared.has(field));
  }

  /** Copies of all columns. */
  snapshot(): StepColumns {
    const compared = this.comparedFields.map((field) => [field, this.column(field).slice()]);
    return {
      ...mapColumns((field) => this.columns[field].slice(0, this.count)),
      ...(Object.fromEntries(compared) as Partial<Record<ComparedField, Float64Array>>),
    };
  }

  /** Adds a line. A step or resume line removes what came after that step before. */
  append(line: MetricLine): void {
    if (line.kind === 'step') {
      if (line.step <= this.lastStep) this.dropSteps((step) => step >= line.step);
      this.pushStep(line);
      return;
    }
    if (line.kind === 'resume') this.removeAfter(line.step);
    this.others.push(line);
  }

  private removeAfter(step: number): void {
    this.dropSteps((s) => s > step);
    this.others = this.others.filter((line) => line.step <= step);
  }

  private dropSteps(isDropped: (step: number) => boolean): void {
    const before = this.count;
    while (this.count > 0 && isDropped(this.lastStep)) this.count--;
    if (this.count < before) this.removals++;
  }

  private pushStep(line: StepLine): void {
    if (this.count === this.capacity) {
      this.capacity *= 2;
      this.columns = mapColumns((field) => grown(this.columns[field], this.capacity));
      for (const [field, column] of this.compared)
        this.compared.set(field, grown(column, this.capacity));
    }
    for (const field of STEP_FIELDS) this.columns[field][this.count] = line[field];
    this.pushCompared(line);
    this.count++;
  }

  private pushCompared(line: StepLine): void {
    if (this.compared.size === 0 && COMPARED_MARKS.every((name) => line[name] === undefined))
      return;
    for (const field of COMPARED_FIELDS) {
      const value = line[field];
      if (value !== undefined && !this.compared.has(field))
        this.compared.set(field, new Float64Array(this.capacity).fill(NaN));
      const column = this.compared.get(field);
      if (column) column[this.count] = value ?? NaN;
    }
  }
}

const NONE = new Float64Array(0);

const isCompared = (field: StepField | ComparedField): field is ComparedField =>
  (COMPARED_FIELDS as readonly string[]).includes(field);

function mapColumns(make: (field: StepField) => Float64Array): Record<StepField, Float64Array> {
  return Object.fromEntries(STEP_FIELDS.map((field) => [field, make(field)])) as Record<
    StepField,
    Float64Array
  >;
}

function grown(column: Float64Array, capacity: number): Float64Array {
  const result = new Float64Array(capacity);
  result.set(column);
  return result;
}
