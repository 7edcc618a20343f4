import type { TrainingSettings } from '../../shared/recipe';
import type { SchedulerParameters } from '../../shared/schedulers';

/** The settings that the learning rate depends on. */
export type ScheduleSettings = Pick<
  TrainingSettings,
  'learning_rate' | 'lr_scheduler_type' | 'lr_scheduler_kwargs' | 'warmup_steps' | 'warmup_ratio'
>;

/**
 * Number of warm-up steps: warmup_steps, or else warmup_ratio of all steps, rounded up
 * (transformers' TrainingArguments.get_warmup_steps).
 */
export function warmupSteps(
  { warmup_steps, warmup_ratio }: ScheduleSettings,
  total: number,
): number {
  return warmup_steps > 0 ? warmup_steps : Math.ceil(total * warmup_ratio);
}

/**
 * The learning rate of a step, from 1 to `total`, by transformers' optimization.py
 * (get_*_schedule). The first step of a warm-up has rate 0 with most schedulers.
 */
export function learningRate(settings: ScheduleSettings, step: number, total: number): number {
  const { learning_rate, lr_scheduler_type, lr_scheduler_kwargs } = settings;
  const place = { done: step - 1, warmup: warmupSteps(settings, total), total };
  return learning_rate * FACTORS[lr_scheduler_type](place, lr_scheduler_kwargs, learning_rate);
}

/** Where a step is: the steps before it, those of the warm-up, and all. */
interface Place {
  readonly done: number;
  readonly warmup: number;
  readonly total: number;
}

/** The learning rate of a step as a multiple of `peak`. */
type Factor = (place: Place, parameters: SchedulerParameters, peak: number) => number;

const FACTORS: Readonly<Record<TrainingSettings['lr_scheduler_type'], Factor>> = {
  constant: () => 1,
  constant_with_warmup: afterWarmup(() => 1),
  linear: afterWarmup(({ done, warmup, total }) =>
    Math.max(0, (total - done) / Math.max(1, total - warmup)),
  ),
  cosine: afterWarmup((place, { num_cycles }) =>
    Math.max(0, cosineWave(decayProgress(place), num_cycles)),
  ),
  cosine_with_restarts: afterWarmup((place, { num_cycles }) => {
    const progress = decayProgress(place);
    if (progress >= 1) return 0;
    const inCycle = ((num_cycles ?? 1) * progress) % 1;
    return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * inCycle)));
  }),
  cosine_with_min_lr: afterWarmup((place, parameters, peak) => {
    const wave = cosineWave(decayProgress(place), parameters.num_cycles);
    return Math.max(0, atLeast(wave, minimumRate(parameters, peak)));
  }),
  cosine_warmup_with_min_lr: cosineWarmupWithMinimum,
  polynomial: afterWarmup(({ done, warmup, total }, { power, lr_end }, peak) => {
    const end = lr_end ?? 1e-7;
    const remaining = 1 - (done - warmup) / (total - warmup);
    return ((peak - end) * remaining ** (power ?? 1) + end) / peak;
  }),
  inverse_sqrt: afterWarmup(({ done, warmup }, { timescale }) => {
    const scale = timescale ?? (warmup || 10_000);
    return 1 / Math.sqrt((done + (scale - warmup)) / scale);
  }),
  warmup_stable_decay: warmupStableDecay,
};

/** A factor that rises from 0 during the warm-up. */
function afterWarmup(factor: Factor): Factor {
  return (place, parameters, peak) => {
    const { done, warmup } = place;
    return done < warmup ? done / warmup : factor(place, parameters, peak);
  };
}

/** From 0 at the end of the warm-up to 1 after the last step. */
const decayProgress = ({ done, warmup, total }: Place): number =>
  (done - warmup) / Math.max(1, total - warmup);

const cosineWave = (progress: number, cycles: number | null): number =>
  0.5 * (1 + Math.cos(Math.PI * (cycles ?? 0.5) * 2 * progress));

/** 0 to 1 -> `least` to 1 */
const atLeast = (factor: number, least: number): number => factor * (1 - least) + least;

const minimumRate = ({ min_lr, min_lr_rate }: SchedulerParameters, peak: number): number =>
  min_lr === null ? (min_lr_rate ?? 0) : min_lr / peak;

/** Unlike the others, this counts the steps of warm-up and decay from 1. */
function cosineWarmupWithMinimum(
  { done, warmup, total }: Place,
  parameters: SchedulerParameters,
  peak: number,
): number {
  const { num_cycles, warmup_lr_rate: first } = parameters;
  if (done < warmup)
    return first === null
      ? (done + 1) / warmup
      : first + ((1 - first) * done) / Math.max(1, warmup - 1);
  const progress = (done - warmup + 1) / Math.max(1, total - warmup);
  return Math.max(0, atLeast(cosineWave(progress, num_cycles), minimumRate(parameters, peak)));
}

function warmupStableDecay(
  { done, warmup, total }: Place,
  parameters: SchedulerParameters,
): number {
  const { warmup_type, decay_type, num_cycles } = parameters;
  const least = parameters.min_lr_ratio ?? 0;
  const decaySteps = parameters.num_decay_steps ?? 0;
  const stable = parameters.num_stable_steps ?? total - warmup - decaySteps;
  if (done < warmup)
    return Math.max(0, atLeast(rise(warmup_type ?? 'linear', done / warmup), least));
  if (done < warmup + stable) return 1;
  if (done >= warmup + stable + decaySteps) return least;
  const progress = (done - warmup - stable) / Math.max(1, decaySteps);
  return Math.max(0, atLeast(fall(decay_type ?? 'cosine', progress, num_cycles), least));
}

type Shape = NonNullable<SchedulerParameters['decay_type']>;

function rise(shape: Shape, progress: number): number {
  switch (shape) {
    case 'linear':
      return progress;
    case 'cosine':
      return 0.5 * (1 - Math.cos(Math.PI * progress));
    case '1-sqrt':
      return 1 - Math.sqrt(1 - progress);
  }
}

function fall(shape: Shape, progress: number, cycles: number | null): number {
  switch (shape) {
    case 'linear':
      return 1 - progress;
    case 'cosine':
      return cosineWave(progress, cycles);
    case '1-sqrt':
      return 1 - Math.sqrt(progress);
  }
}
