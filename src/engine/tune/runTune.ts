import { setTimeout } from 'node:timers/promises';
import { writeTune } from '../../formats/run/tuneFile';
import { LoraError } from '../../shared/errors';
import type { MetricLine } from '../../shared/metrics/lines';
import type { SweepRecord, SweepRun } from '../../shared/sweep/record';
import { nextPromotion, type Promotion, type Trial } from '../../shared/tune/halving';
import { ETA, planTune, secondsOfRung, type Speed } from '../../shared/tune/plan';
import type { TuneRecord } from '../../shared/tune/record';
import { findRuns } from '../sweep/foundRuns';
import { trainOne, type RunStart, type SweptRun } from '../sweep/runSweep';
import { endLeftRuns, stopRun } from './leftRuns';
import { metricsOf, scoreAt, speedOf } from './trialScores';

/** A tune, and who hears of it. */
export interface TuneJob {
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  readonly folder: string;
  readonly sweep: SweepRecord;
  readonly tune: TuneRecord;
  readonly parallel: number;
  readonly signal: AbortSignal;
  /** How many configurations and rungs fit, when that is known. */
  readonly onPlan: (tune: TuneRecord) => void;
  readonly onStart: (run: SweepRun, rung: number, how: RunStart) => void;
  readonly onMetric: (run: SweepRun, line: MetricLine) => void;
  readonly onWarning: (run: SweepRun, message: string) => void;
  /** A run has reached a rung with a score, or has failed on its way there (NaN). */
  readonly onRung: (run: SweepRun, rung: number, reached: ReachedRung) => void;
}

/** What came of the way to a rung. */
export interface ReachedRung {
  /** Null: the tune ended before. */
  readonly score: number | null;
  readonly swept: SweptRun;
}

/** Failed first configurations that end a tune: the recipe is at fault, not their values. */
const MAX_FAILED_FIRST = 2;
/** Node's timers take no more. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Trains configurations by asynchronous successive halving until the budget is spent. A rung ends
 * with a stop of its run, which continues from its checkpoint if it is promoted. The first
 * configuration is trained to its first rung alone, and its speed says how many others fit.
 *
 * @throws LoraError when nothing can be tried within the budget
 */
export const runTune = (job: TuneJob): Promise<TuneRecord> => new Tuning(job).run();

class Tuning {
  private tune: TuneRecord;
  private readonly training = new Set<number>();
  private readonly startedAt = performance.now();
  private readonly spentBefore: number;
  /** Ends what trains when the budget is spent. */
  private readonly deadline = new AbortController();
  private lastError: string | null = null;

  constructor(private readonly job: TuneJob) {
    this.tune = job.tune;
    this.spentBefore = job.tune.spent;
  }

  async run(): Promise<TuneRecord> {
    await this.stopLeftRuns();
    if (this.tune.plan) this.job.onPlan(this.tune);
    const timer = new AbortController();
    const left = Math.min(MAX_TIMER_MS, Math.max(0, this.secondsLeft() * 1000));
    void setTimeout(left, null, { signal: timer.signal }).then(
      () => this.deadline.abort(),
      () => undefined,
    );
    try {
      await this.schedule();
    } finally {
      timer.abort();
      await this.save({});
    }
    if (this.tune.trials.every(({ scores }) => scores.length === 0) && !this.job.signal.aborted)
      throw tooShort(this.tune.minutes);
    return this.tune;
  }

  private async schedule(): Promise<void> {
    const running = new Set<Promise<void>>();
    const failures: unknown[] = [];
    for (;;) {
      const slots = this.tune.plan ? this.job.parallel : 1;
      const next = running.size < slots && failures.length === 0 ? this.next() : null;
      if (next) {
        const way = this.train(next)
          .catch((error: unknown) => void failures.push(error))
          .finally(() => running.delete(way));
        running.add(way);
      } else if (running.size === 0) break;
      else await Promise.race(running);
    }
    if (failures.length > 0) throw failures[0];
  }

  private secondsSpent(): number {
    return this.spentBefore + (performance.now() - this.startedAt) / 1000;
  }

  private secondsLeft(): number {
    return this.tune.minutes * 60 - this.secondsSpent();
  }

  private isOver(): boolean {
    return this.job.signal.aborted || this.deadline.signal.aborted;
  }

  private next(): Promotion | null {
    if (this.isOver()) return null;
    const { plan, metric } = this.tune;
    const trials = this.trials();
    const begun = trials.filter(({ scores, isTraining }) => scores.length > 0 || isTraining).length;
    return nextPromotion(trials, {
      eta: ETA,
      rungs: plan?.rungs ?? 1,
      metric,
      configurations: plan?.configurations ?? begun + 1,
      fits: (trial, rung) => this.fits(trial, rung),
    });
  }

  private trials(): readonly Trial[] {
    return this.tune.trials.map(({ scores }, i) => ({ scores, isTraining: this.training.has(i) }));
  }

  private fits(trial: number, rung: number): boolean {
    const { steps } = this.tune.trials[trial]!;
    if (rung >= steps.length) return false;
    const { plan } = this.tune;
    const seconds = plan ? secondsOfRung(rung, { steps, speed: plan.speed }) : 0;
    return seconds <= this.secondsLeft();
  }

  private async train({ trial, rung }: Promotion): Promise<void> {
    const { recipe } = this.tune.trials[trial]!;
    const run = this.job.sweep.runs.find((own) => own.recipe === recipe);
    if (!run) throw new LoraError('run', `The tune has no run of ${recipe}.`);
    this.training.add(trial);
    const started = performance.now();
    const swept = await this.trainRun(run, { trial, rung });
    this.training.delete(trial);
    const seconds = (performance.now() - started) / 1000;
    const score = await this.scoreOf(swept, { trial, rung });
    await this.record(trial, score);
    this.job.onRung(run, rung, { score, swept });
    if (!this.tune.plan && score !== null) await this.measure(swept, trial, seconds);
  }

  private async trainRun(run: SweepRun, { trial, rung }: Promotion): Promise<SweptRun> {
    const { folder, sweep, cli, signal, onStart, onMetric, onWarning } = this.job;
    const known = (await findRuns(folder, [run])).get(run.recipe) ?? null;
    const { steps } = this.tune.trials[trial]!;
    const isWhole = rung === steps.length - 1;
    const pause = new Pause({ cli, isLocal: sweep.target === null });
    const end = () => pause.now();
    this.deadline.signal.addEventListener('abort', end, { once: true });
    try {
      return await trainOne(run, known, {
        ...{ cli, folder, sweep },
        signal: AbortSignal.any([signal, pause.signal]),
        onStart: (_, how, dir) => {
          pause.dir = dir;
          onStart(run, rung, how);
        },
        onMetric: (_, line) => {
          onMetric(run, line);
          if (!isWhole && line.kind === 'eval' && line.step >= steps[rung]!) pause.now();
        },
        onWarning,
      });
    } finally {
      this.deadline.signal.removeEventListener('abort', end);
      await pause.end();
    }
  }

  /** Null: the tune was ended on the way. NaN: the run failed, or was stopped by someone else. */
  private async scoreOf(swept: SweptRun, { trial, rung }: Promotion): Promise<number | null> {
    const steps = this.tune.trials[trial]!.steps[rung]!;
    const lines = swept.dir === null ? [] : await metricsOf(swept.dir);
    const score = scoreAt(lines, steps, this.tune.metric);
    if (score !== null) return score;
    if (swept.state === 'completed') return scoreAt(lines, 1, this.tune.metric) ?? NaN;
    // also one that a stop ended before it could record anything; it is tried again
    if (this.isOver()) return null;
    this.lastError = swept.error;
    return NaN;
  }

  private async record(trial: number, score: number | null): Promise<void> {
    const trials = this.tune.trials.map((own, i) =>
      i === trial && score !== null ? { ...own, scores: [...own.scores, score] } : own,
    );
    await this.save({ trials });
  }

  private async measure(swept: SweptRun, trial: number, seconds: number): Promise<void> {
    const speed = swept.dir === null ? null : speedOf(await metricsOf(swept.dir), seconds);
    const failed = this.tune.trials.filter(({ scores }) => Number.isNaN(scores[0])).length;
    const isFailure = Number.isNaN(this.tune.trials[trial]!.scores[0]);
    if (isFailure && failed >= MAX_FAILED_FIRST)
      throw new LoraError('run', this.lastError ?? 'The first configurations failed.', {
        fix: 'Train the recipe once (lora train) and correct what it says.',
      });
    if (isFailure || !speed) return;
    await this.save({ plan: this.planFor(speed, trial) });
    this.job.onPlan(this.tune);
  }

  /** What fits into the budget, the first configuration included. */
  private planFor(speed: Speed, trial: number): NonNullable<TuneRecord['plan']> {
    const { steps } = this.tune.trials[trial]!;
    const seconds = this.secondsLeft() + secondsOfRung(0, { steps, speed });
    const { parallel } = this.job;
    const plan = planTune({ steps, speed, seconds, parallel, most: this.tune.trials.length });
    return { ...(plan ?? { configurations: 1, rungs: 1, seconds }), speed };
  }

  private async save(change: Partial<TuneRecord>): Promise<void> {
    this.tune = { ...this.tune, ...change, spent: this.secondsSpent() };
    await writeTune(this.job.folder, this.tune);
  }

  /** A tune that was killed leaves runs that nobody stops at their rungs. */
  private async stopLeftRuns(): Promise<void> {
    const { folder, sweep, cli, signal } = this.job;
    const found = await findRuns(folder, sweep.runs);
    await endLeftRuns([...found.values()], { cli, signal });
  }
}

const tooShort = (minutes: number): LoraError =>
  new LoraError('usage', `No configuration reached its first rung within ${minutes} minutes.`, {
    fix: 'Continue with more minutes (--resume), or shorten the training.',
  });

/** Stops a run at its rung: here by a signal, on a target through its engine. */
class Pause {
  dir: string | null = null;
  private readonly controller = new AbortController();
  private asked: Promise<void> | null = null;
  private hasEnded = false;

  constructor(private readonly place: { readonly cli: string; readonly isLocal: boolean }) {}

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  now(): void {
    if (this.place.isLocal && process.platform !== 'win32') this.controller.abort();
    else this.asked ??= this.askEngine();
  }

  /** The run has ended. */
  async end(): Promise<void> {
    this.hasEnded = true;
    await this.asked;
  }

  /** Until its engine has been reached, which may not have started yet. */
  private async askEngine(): Promise<void> {
    while (!this.hasEnded) {
      const isAsked =
        this.dir !== null &&
        (await stopRun(this.place.cli, this.dir, NEVER).then(
          () => true,
          () => false,
        ));
      if (isAsked) return;
      await setTimeout(POLL_MS);
    }
  }
}

const NEVER = new AbortController().signal;
const POLL_MS = 500;
