import type { ChartColor } from '../../shared/colors';
import { RunHistory } from '../../../src/shared/history';
import { SCORE_NAMES, type ScoreName } from '../../../src/shared/metrics';
import type { ChartId, StepField } from '../../../src/shared/webview';
import { firstAtLeast, type Range } from './decimate';
import type { Formatter } from '../../shared/format';
import { SmoothedLoss } from './smooth';

type StepSeries = 'loss' | 'learning_rate' | 'grad_norm' | 'tokens_per_second' | 'memory';

export type SeriesId = StepSeries | 'smoothed' | 'validation' | ScoreName;

/** How a line looks. Lines of one chart differ in width, dashes or points, not in colour alone. */
export interface SeriesSpec {
  readonly id: SeriesId;
  readonly color: ChartColor;
  readonly width: number;
  readonly dash: readonly number[];
  readonly points: boolean;
  /** Below 1 for the line that others lie on. */
  readonly alpha: number;
}

export interface ChartSpec {
  readonly id: ChartId;
  readonly fromZero: boolean;
  readonly series: readonly SeriesSpec[];
  readonly format: (formatter: Formatter, value: number) => string;
  /** No value is above it. */
  readonly most?: number;
  /** Distance of the value axis' ticks for a highest value, where round decimal numbers are not round as they are shown. */
  readonly tickStep?: (max: number) => number;
}

const MOST_TICKS = 5;

/** The least 1, 2, 5, 10, 20… of the largest unit (powers of 1024) that needs no more than MOST_TICKS ticks. */
export function byteTickStep(max: number): number {
  const wanted = Math.max(1, max) / MOST_TICKS;
  const unit = 1024 ** Math.floor(Math.log2(wanted) / 10);
  const round = [1, 2, 5, 10, 20, 50, 100, 200, 256, 512, 1024].find((step) => step * unit >= wanted) ?? 1024;
  return round * unit;
}

const single = (id: Exclude<ChartId, 'loss' | 'score'>, color: ChartColor, format: ChartSpec['format']): ChartSpec =>
  ({ id, fromZero: true, format, series: [{ id, color, width: 1.5, dash: [], points: false, alpha: 1 }] });

const LOSS: ChartSpec = {
  id: 'loss', fromZero: false, format: (f, value) => f.value(value),
  series: [
    { id: 'loss', color: 'blue', width: 1, dash: [], points: false, alpha: 0.6 },
    { id: 'smoothed', color: 'blue', width: 2.5, dash: [], points: false, alpha: 1 },
    { id: 'validation', color: 'red', width: 2, dash: [6, 4], points: true, alpha: 1 },
  ],
};

/** Charts that every run has. */
export const CHARTS: readonly ChartSpec[] = [
  LOSS,
  single('learning_rate', 'red', (f, value) => f.rate(value)),
  single('grad_norm', 'green', (f, value) => f.value(value)),
  single('tokens_per_second', 'blue', (f, value) => f.speed(value)),
  { ...single('memory', 'purple', (f, value) => f.bytes(value)), tickStep: byteTickStep },
];

const UNBOUNDED: ReadonlySet<ScoreName> = new Set(['perplexity', 'rmse']);

/** How good the model is at its task, by the names that its evaluations have; null before the first. */
export function scoreChart(history: RunHistory): ChartSpec | null {
  const names = SCORE_NAMES.filter((name) => history.lines.some((line) => line.kind === 'eval' && line.scores?.[name] !== undefined));
  if (names.length === 0) return null;
  return {
    id: 'score', fromZero: false, format: (f, value) => f.value(value), ...(names.every((name) => !UNBOUNDED.has(name)) && { most: 1 }),
    series: names.map((id, i) => ({ id, color: i === 0 ? 'green' : 'purple', width: 2, dash: i === 0 ? [] : [6, 4], points: true, alpha: 1 })),
  };
}

/** x rising and y of one line, of the same length. */
export interface Line { readonly xs: Float64Array; readonly ys: Float64Array }

/** The lines of all charts, from the history as it is. */
export class Lines {
  private readonly smoothed = new SmoothedLoss();
  private history = new RunHistory();
  private smoothing = 0;

  /** Differs when a value may differ. */
  get version(): string { return [this.history.length, this.history.revision, this.history.lines.length, this.smoothing].join(); }

  update(history: RunHistory, smoothing: number): void {
    this.history = history;
    this.smoothing = smoothing;
  }

  /** From the first to the last step of any line; 0 to 1 while there is none. */
  extent(): Range {
    const { xs } = this.measured('validation');
    const steps = this.history.column('step');
    const from = Math.min(xs[0] ?? Infinity, steps[0] ?? Infinity);
    const to = Math.max(xs.at(-1) ?? 0, steps.at(-1) ?? 0);
    return Number.isFinite(from) ? { from, to: Math.max(to, from + 1) } : { from: 0, to: 1 };
  }

  of(id: SeriesId): Line {
    if (isMeasured(id)) return this.measured(id);
    const xs = this.history.column('step');
    return { xs, ys: id === 'smoothed' ? this.smoothed.update(this.history, this.smoothing) : this.history.column(id satisfies StepField) };
  }

  /** The value at `step`; of what evaluations measure the last one until then. NaN where there is none. */
  at(id: SeriesId, step: number): number {
    const { xs, ys } = this.of(id);
    const next = firstAtLeast(xs, step);
    if (xs[next] === step) return ys[next]!;
    return isMeasured(id) && next > 0 ? ys[next - 1]! : NaN;
  }

  private measured(id: 'validation' | ScoreName): Line {
    const evals = this.history.lines.filter((line) => line.kind === 'eval');
    return { xs: Float64Array.from(evals, (line) => line.step), ys: Float64Array.from(evals, (line) => (id === 'validation' ? line.loss : line.scores?.[id] ?? NaN)) };
  }
}

const isMeasured = (id: SeriesId): id is 'validation' | ScoreName => id === 'validation' || (SCORE_NAMES as readonly string[]).includes(id);
