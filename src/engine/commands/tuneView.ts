import { indentedLines } from '../../shared/plainText';
import { shellQuote } from '../../common/shellQuote';
import type { StepLine } from '../../shared/metrics/lines';
import { sparkline } from '../../shared/sparkline';
import type { SweepRecord, SweepRun } from '../../shared/sweep/record';
import { valueText } from '../../shared/sweep/valueText';
import type { RangeTest } from '../../shared/tune/rangeTest';
import type { TuneRecord } from '../../shared/tune/record';
import { describeReason, describeScore, outcomeOf } from '../../shared/tune/tunedRecipe';
import { countOf } from '../../shared/values';
import { formatClock } from '../describe';
import { clearLine, isTerminal, replaceLine } from '../terminal';
import type { ReachedRung, TuneJob } from '../tune/runTune';
import type { CommandContext } from './context';

/** Shows a tune on the command line. */
export interface TuneView {
  readonly hooks: Pick<TuneJob, 'onPlan' | 'onStart' | 'onMetric' | 'onWarning' | 'onRung'>;
  /** Shows what was found, and the recipe that was written; null: the tune was stopped. */
  readonly finish: (tune: TuneRecord, file: string | null) => void;
}

interface ShownTune {
  readonly folder: string;
  readonly sweep: SweepRecord;
  readonly tune: TuneRecord;
}

/** One JSON object per line with --json; otherwise lines of text. */
export const tuneView = (context: CommandContext, shown: ShownTune): TuneView =>
  context.json ? jsonView(context, shown) : textView(context, shown);

function jsonView({ print, warn }: CommandContext, { folder, sweep, tune }: ShownTune): TuneView {
  const say = (kind: string, facts: object) => print(JSON.stringify({ kind, ...facts }));
  const progress = progressOf(tune, (fraction) => say('progress', { phase: 'tuning', fraction }));
  say('tune', { folder, minutes: tune.minutes, vary: sweep.vary, range_test: tune.range_test });
  return {
    hooks: {
      onPlan: ({ plan, trials }) => say('plan', { ...plan, of: trials.length }),
      onStart: ({ name }, rung, how) => say(how, { name, rung }),
      onMetric: ({ name }, line) => {
        progress();
        say('metric', { name, line });
      },
      onWarning: ({ name }, message) => warn(`${name}: ${message}`),
      onRung: ({ name, values }, rung, { score, swept }) =>
        say('rung', { name, values, rung, score, run_dir: swept.dir, error: swept.error }),
    },
    finish: (now, file) => {
      const outcome = outcomeOf(sweep, now);
      say('result', { folder, recipe: file, metric: now.metric, best: outcome, tune: now });
    },
  };
}

/** Tells how much of the budget is spent, at most once a hundredth. */
function progressOf({ minutes, spent }: TuneRecord, tell: (fraction: number) => void): () => void {
  const started = performance.now();
  let last = -1;
  return () => {
    const seconds = spent + (performance.now() - started) / 1000;
    const percent = Math.min(100, Math.floor((100 * seconds) / (minutes * 60)));
    if (percent !== last) tell(percent / 100);
    last = percent;
  };
}

function textView(context: CommandContext, { folder, sweep, tune }: ShownTune): TuneView {
  const { print, warn, note } = context;
  const steps = new Map<SweepRun, StepLine>();
  const writeAbove = (write: () => void) => {
    if (isTerminal()) clearLine();
    write();
    if (isTerminal() && steps.size > 0) replaceLine(describeSteps(steps));
  };
  note(`${countOf(tune.trials.length, 'configuration')} to choose from, in ${folder}`);
  return {
    hooks: {
      onPlan: (now) => writeAbove(() => print(describePlan(now))),
      onStart: (run, rung, how) =>
        writeAbove(() => print(`${run.name}: ${how}, to rung ${rung + 1}`)),
      onMetric: (run, line) => {
        if (line.kind !== 'step') return;
        steps.set(run, line);
        if (isTerminal()) replaceLine(describeSteps(steps));
      },
      onWarning: (run, message) => writeAbove(() => warn(`${run.name}: ${message}`)),
      onRung: (run, rung, reached) => {
        steps.delete(run);
        writeAbove(() => print(`${run.name}: ${describeReached(tune, rung, reached)}`));
      },
    },
    finish: (now, file) => {
      if (isTerminal()) clearLine();
      const outcome = outcomeOf(sweep, now);
      const reason = outcome ? describeReason(sweep, now, outcome) : [];
      print(['', ...reason].join('\n'));
      print(
        file === null
          ? `Continue with: lora tune --resume ${shellQuote(folder)}`
          : `Recipe: ${file}`,
      );
    },
  };
}

const describeSteps = (steps: ReadonlyMap<SweepRun, StepLine>): string =>
  [...steps]
    .map(([{ name }, { step, loss }]) => `${name}: step ${step}, loss ${loss.toFixed(4)}`)
    .join(' · ');

/** What fits into the budget. */
function describePlan({ plan, trials, minutes }: TuneRecord): string {
  if (!plan) return '';
  const { configurations, rungs, seconds, speed } = plan;
  const steps = trials[0]!.steps.slice(0, rungs).join(', ');
  return (
    `${speed.seconds_per_step.toFixed(2)} s a step: ${configurations} of ` +
    `${countOf(trials.length, 'configuration')} with rungs at ${steps} steps take about ` +
    `${formatClock(seconds)} of ${minutes} minutes.`
  );
}

function describeReached(
  { metric }: TuneRecord,
  rung: number,
  { score, swept }: ReachedRung,
): string {
  if (score === null) return `stopped before rung ${rung + 1}`;
  if (!Number.isNaN(score)) return `rung ${rung + 1}, ${describeScore(metric, score)}`;
  return `failed before rung ${rung + 1}${swept.error === null ? '' : `\n  ${indentedLines(swept.error)}`}`;
}

const CURVE_WIDTH = 48;

/** The curve of a range test over the rates, and the suggested one. */
export function describeRangeTest({ points, suggestion, diverged }: RangeTest): readonly string[] {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last) return ['The range test took no step.'];
  return [
    `Loss over learning rates from ${valueText(rounded(first.rate))} to ${valueText(rounded(last.rate))}${diverged ? ', where it is too high' : ''}:`,
    sparkline(
      points.map(({ smoothed }) => smoothed),
      CURVE_WIDTH,
    ),
    suggestion === null
      ? 'The loss falls nowhere: no rate is suggested.'
      : `Suggested learning rate: ${valueText(suggestion)}`,
  ];
}

const rounded = (rate: number): number => Number(rate.toPrecision(2));
