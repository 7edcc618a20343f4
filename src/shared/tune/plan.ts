/** How much a rung multiplies the steps of the one below, and divides its configurations. */
export const ETA = 3;
const MAX_RUNGS = 4;
/** A first rung of fewer steps says little: most of them are warm-up. */
const MIN_FIRST_STEPS = 5;
/** With fewer configurations than this, a lower highest rung is worth more than whole trainings. */
const ENOUGH = 4;

/** How fast a configuration trains, as measured. */
export interface Speed {
  readonly seconds_per_step: number;
  /** Seconds that a process takes beside its steps: starting, evaluating, saving. */
  readonly overhead: number;
}

/** How many configurations and rungs a budget has room for. */
export interface TunePlan {
  readonly configurations: number;
  readonly rungs: number;
  /** What that takes. */
  readonly seconds: number;
}

/**
 * The steps at which the rungs of a training run of `total` steps end; the last one is its end. All
 * but the last are multiples of the first, so that evaluations at every multiple of it meet each.
 */
export function rungSteps(total: number): readonly number[] {
  let rungs = 1;
  while (rungs < MAX_RUNGS && total / ETA ** rungs >= Math.min(MIN_FIRST_STEPS, total / ETA))
    rungs++;
  const first = Math.max(1, Math.floor(total / ETA ** (rungs - 1)));
  const below = Array.from({ length: rungs - 1 }, (_, k) => first * ETA ** k);
  return [...below.filter((steps) => steps < total), total];
}

/** What a plan is made for. */
export interface Budget {
  /** The steps at which rungs end. */
  readonly steps: readonly number[];
  readonly speed: Speed;
  readonly seconds: number;
  /** How many configurations train at a time. */
  readonly parallel: number;
  /** How many configurations there are. */
  readonly most: number;
}

/**
 * The most configurations that fit, with as many rungs as leave room for at least a few of them.
 * Null: not even one reaches the first rung.
 */
export function planTune(budget: Budget): TunePlan | null {
  const fitting = budget.steps
    .map((_, k) => mostWith(k + 1, budget))
    .filter(({ configurations }) => configurations > 0);
  const enough = Math.min(ENOUGH, budget.most);
  return (
    fitting.findLast(({ configurations }) => configurations >= enough) ??
    fitting.reduce<TunePlan | null>(
      (best, plan) => (best && best.configurations >= plan.configurations ? best : plan),
      null,
    )
  );
}

function mostWith(rungs: number, budget: Budget): TunePlan {
  let configurations = budget.most;
  while (configurations > 0 && secondsOf(configurations, rungs, budget) > budget.seconds)
    configurations--;
  return { configurations, rungs, seconds: secondsOf(configurations, rungs, budget) };
}

/** How long a tune takes if a third of each rung's configurations continue, and at least one. */
export function secondsOf(
  configurations: number,
  rungs: number,
  { steps, speed, parallel }: Pick<Budget, 'steps' | 'speed' | 'parallel'>,
): number {
  let seconds = 0;
  for (let k = 0; k < rungs; k++) {
    const alive = Math.max(1, Math.floor(configurations / ETA ** k));
    seconds += Math.ceil(alive / parallel) * secondsOfRung(k, { steps, speed });
  }
  return seconds;
}

/** How long a configuration takes from one rung to the next. */
export const secondsOfRung = (
  rung: number,
  { steps, speed }: Pick<Budget, 'steps' | 'speed'>,
): number => (steps[rung]! - (steps[rung - 1] ?? 0)) * speed.seconds_per_step + speed.overhead;
