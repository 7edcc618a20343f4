/** A step of a range test: at which rate it was taken, and the loss before it. */
export interface RangePoint {
  readonly rate: number;
  readonly loss: number;
}

/** The curve of a range test, and what follows from it. */
export interface RangeTest {
  readonly points: readonly (RangePoint & { readonly smoothed: number })[];
  /** Null: the loss does not fall anywhere. */
  readonly suggestion: number | null;
  /** Whether the loss rose so far that the test ended before its last step. */
  readonly diverged: boolean;
}

/** The most steps of a range test. */
export const MAX_RANGE_STEPS = 100;
/** The weight of the losses before: the mean is over about ten of them. */
const SMOOTHING = 0.9;
/**
 * A smoothed loss of this many times the lowest one ends the test: fastai's default. Of losses that
 * fall below 0, such as that of dpo with loss_type robust, the first one is the measure.
 */
const TOO_HIGH = 4;
/** The share of the steps over which the fall of the loss is measured. */
const WINDOW = 0.1;
/** fastai's rule: a tenth of the rate at which the loss is lowest. */
const BELOW_LOWEST = 10;

/** Rates that rise by the same factor with each step, from the first to the last. */
export const risingRates = (from: number, to: number, steps: number): readonly number[] =>
  Array.from({ length: steps }, (_, i) =>
    steps === 1 ? from : from * (to / from) ** (i / (steps - 1)),
  );

/** An exponential mean of the losses without the bias of its start, as Adam has none. */
export function smoothed(losses: readonly number[]): readonly number[] {
  let mean = 0;
  return losses.map((loss, i) => {
    mean = SMOOTHING * mean + (1 - SMOOTHING) * loss;
    return mean / (1 - SMOOTHING ** (i + 1));
  });
}

/** Whether a test has seen enough: the loss is no number, or far above the lowest. */
export function isTooHigh(losses: readonly number[]): boolean {
  const curve = smoothed(losses);
  const last = curve.at(-1) ?? 0;
  const low = Math.min(...curve);
  const measure = low > 0 ? low : Math.abs(curve[0]!);
  return !Number.isFinite(last) || last - low > (TOO_HIGH - 1) * measure;
}

/**
 * The result of a range test (Smith 2017, "Cyclical Learning Rates for Training Neural Networks",
 * section 3.3). The suggested rate is the lower of two: a tenth of the rate at which the smoothed
 * loss is lowest, and the rate at which it falls fastest over the logarithm of the rate, after the
 * rules of fastai's finder (`minimum` and `steep`).
 */
export function rangeTestOf(points: readonly RangePoint[], diverged: boolean): RangeTest {
  const curve = smoothed(points.map(({ loss }) => loss));
  const shown = points.map((point, i) => ({ ...point, smoothed: curve[i]! }));
  return { points: shown, suggestion: suggestedRate(shown), diverged };
}

type SmoothedPoint = RangeTest['points'][number];

function suggestedRate(points: readonly SmoothedPoint[]): number | null {
  const finite = points.filter(({ smoothed: own }) => Number.isFinite(own));
  if (finite.length < 3) return null;
  const at = finite.reduce(
    (low, { smoothed: own }, i) => (own < finite[low]!.smoothed ? i : low),
    0,
  );
  if (at === 0) return null;
  const steepest = steepestRate(finite.slice(0, at + 1));
  const rate = Math.min(finite[at]!.rate / BELOW_LOWEST, steepest);
  return Number(Math.max(rate, finite[0]!.rate).toPrecision(2));
}

/**
 * The rate in the middle of the window in which the loss falls most. The first losses are left out:
 * their mean is one of few batches, and jumps.
 */
function steepestRate(points: readonly SmoothedPoint[]): number {
  const window = Math.max(2, Math.round(points.length * WINDOW));
  const start = Math.max(0, Math.min(window, points.length - window - 1));
  let [rate, steepest] = [points.at(-1)!.rate, 0];
  for (let i = start; i + window < points.length; i++) {
    const fall = points[i + window]!.smoothed - points[i]!.smoothed;
    if (fall < steepest) [rate, steepest] = [points[i + Math.round(window / 2)]!.rate, fall];
  }
  return rate;
}
