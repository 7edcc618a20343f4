import {
  isComparedEval,
  isScoreName,
  METRICS,
  type ComparedEvalId,
  type ScoreName,
  type SeriesId,
} from '../../../src/shared/metrics/table';
import type { RunHistory } from '../../../src/shared/runHistory';
import { AXES, type Axis } from '../../../src/shared/pages/dashboard/protocol';
import { firstAtLeast, type Range, type SeriesPoints } from './decimate';
import { GrowingColumn } from './growing';
import { SmoothedLoss } from './smooth';

/** Curves by their names. */
export interface LineSource<Id extends string> {
  of(id: Id): SeriesPoints;
  /** The value at x; NaN without one. */
  at(id: Id, x: number): number;
}

/** The curves of one run along its steps, its tokens or its seconds; the history is not copied. */
export class RunLines implements LineSource<SeriesId> {
  private readonly smoothed = new SmoothedLoss();
  private readonly places = new GrowingColumn();
  private smoothing = 0;
  private axis: Axis = AXES[0];

  constructor(private history: RunHistory) {}

  /** Another text whenever a value may have changed. */
  get version(): string {
    return [
      this.history.isOutline,
      this.history.length,
      this.history.revision,
      this.history.lines.length,
      this.smoothing,
      this.axis,
    ].join();
  }

  update(history: RunHistory, smoothing: number, axis: Axis): void {
    this.history = history;
    this.smoothing = smoothing;
    this.axis = axis;
  }

  /** From the first to the last x of any curve; 0 to 1 without any. */
  extent(): Range {
    const { xs } = this.evaluated('validation');
    const steps = this.stepPlaces();
    const from = Math.min(xs[0] ?? Infinity, steps[0] ?? Infinity);
    const to = Math.max(xs.at(-1) ?? 0, steps.at(-1) ?? 0);
    return Number.isFinite(from) ? { from, to: Math.max(to, from + 1) } : { from: 0, to: 1 };
  }

  of(id: SeriesId): SeriesPoints {
    if (isEvaluated(id)) return this.evaluated(id);
    if (id !== 'smoothed') return { xs: this.stepPlaces(), ys: this.history.column(id) };
    // a mean over some of the steps is another one
    if (this.history.isOutline) return NO_POINTS;
    return { xs: this.stepPlaces(), ys: this.smoothed.update(this.history, this.smoothing) };
  }

  at(id: SeriesId, x: number): number {
    const { xs, ys } = this.of(id);
    const next = firstAtLeast(xs, x);
    return xs[next] === x ? ys[next]! : NaN;
  }

  /** x of each step: its number, the tokens until then, or the seconds until then. */
  private stepPlaces(): Float64Array {
    if (this.axis === 'step') return this.history.column('step');
    const field = this.axis === 'tokens' ? 'tokens' : 'elapsed';
    return this.places.update(this.history, this.axis, () => {
      let last = 0;
      const steps = this.history.column('step');
      return (i) => {
        const value = this.history.column(field)[i]!;
        const stepsOf = this.history.isOutline ? steps[i]! - (steps[i - 1] ?? 0) : 1;
        if (field === 'tokens') last += Number.isFinite(value) ? value * stepsOf : 0;
        // a line without a time has that of the one before
        else last = value > last ? value : last;
        return last;
      };
    });
  }

  /** x of a step, and of what belongs to it, such as its evaluation. */
  placeOf(step: number): number {
    if (this.axis === 'step') return step;
    const index = firstAtLeast(this.history.column('step'), step + 1) - 1;
    return index < 0 ? 0 : this.stepPlaces()[index]!;
  }

  private evaluated(id: EvaluatedId): SeriesPoints {
    const evals = this.history.lines.filter((line) => line.kind === 'eval');
    const score = isComparedEval(id) ? METRICS[id].of : id;
    return {
      xs: Float64Array.from(evals, (line) => this.placeOf(line.step)),
      ys: Float64Array.from(evals, (line) =>
        score === 'validation' ? line.loss : (line.scores?.[score] ?? NaN),
      ),
    };
  }
}

const NO_POINTS: SeriesPoints = { xs: new Float64Array(0), ys: new Float64Array(0) };

type EvaluatedId = 'validation' | ScoreName | ComparedEvalId;

const isEvaluated = (id: SeriesId): id is EvaluatedId =>
  id === 'validation' || isScoreName(id) || isComparedEval(id);
