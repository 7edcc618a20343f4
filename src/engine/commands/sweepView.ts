import { shellQuote } from '../../common/shellQuote';
import type { StepLine } from '../../shared/metrics/lines';
import type { SweepRecord, SweepRun } from '../../shared/sweep/record';
import { indentedLines } from '../../shared/plainText';
import { countOf } from '../../shared/values';
import type { RunStart, SweepJob, SweptRun } from '../sweep/runSweep';
import {
  describeCompleted,
  describeRuns,
  rankRuns,
  runFacts,
  type RankedRun,
} from '../sweep/table';
import { clearLine, isTerminal, replaceLine } from '../terminal';
import type { CommandContext } from './context';

/** The view of a sweep. */
interface ShownSweep {
  readonly folder: string;
  readonly sweep: SweepRecord;
  readonly parallel: number;
}

/** Shows a sweep on the command line. */
export interface SweepView {
  readonly hooks: Pick<SweepJob, 'onStart' | 'onMetric' | 'onWarning' | 'onEnd'>;
  /** Shows the runs when none of them trains any more. */
  readonly finish: (runs: readonly RankedRun[]) => void;
}

/** One JSON object per line with --json; otherwise lines of text, and a table at the end. */
export const sweepView = (context: CommandContext, shown: ShownSweep): SweepView =>
  context.json ? jsonView(context, shown) : textView(context, shown);

function jsonView(
  { print, warn }: CommandContext,
  { folder, sweep, parallel }: ShownSweep,
): SweepView {
  const say = (kind: string, facts: object) => print(JSON.stringify({ kind, ...facts }));
  return {
    hooks: {
      onStart: ({ name }, how, run_dir) => say(how, { name, run_dir }),
      onMetric: ({ name }, line) => say('metric', { name, line }),
      onWarning: ({ name }, message) => warn(`${name}: ${message}`),
      onEnd: (swept) => say('ended', runFacts(rankRuns([swept])[0]!)),
    },
    finish: (runs) => {
      const { recipe, vary, target } = sweep;
      say('result', { folder, recipe, vary, target, parallel, runs: runs.map(runFacts) });
    },
  };
}

const STARTS: Readonly<Record<RunStart, string>> = {
  started: 'started',
  resumed: 'resumed',
  awaited: 'trained by another process already: waiting for its end',
};

function textView(context: CommandContext, { folder, sweep, parallel }: ShownSweep): SweepView {
  const { print, warn, note } = context;
  const steps = new Map<SweepRun, StepLine>();
  const total = sweep.runs.length;
  const writeAbove = (write: () => void) => {
    if (isTerminal()) clearLine();
    write();
    if (isTerminal() && steps.size > 0) replaceLine(describeSteps(steps));
  };
  const label = (run: SweepRun) => `${sweep.runs.indexOf(run) + 1}/${total} ${run.name}`;
  note(`${countOf(total, 'run')} in ${folder}`);
  if (parallel > 1) note(`${parallel} at a time: they share processor and memory.`);
  return {
    hooks: {
      onStart: (run, how) => writeAbove(() => print(`${label(run)}: ${STARTS[how]}`)),
      onMetric: (run, line) => {
        if (line.kind !== 'step') return;
        steps.set(run, line);
        if (isTerminal()) replaceLine(describeSteps(steps));
      },
      onWarning: (run, message) => writeAbove(() => warn(`${run.name}: ${message}`)),
      onEnd: (swept) => {
        steps.delete(swept.run);
        writeAbove(() => print(`${label(swept.run)}: ${describeEnd(swept)}`));
      },
    },
    finish: (runs) => {
      if (isTerminal()) clearLine();
      print(['', ...describeRuns(sweep, runs), '', describeCompleted(runs)].join('\n'));
      if (runs.some(({ state }) => state !== 'completed'))
        print(`Continue with: lora sweep --resume ${shellQuote(folder)}`);
    },
  };
}

/** The last steps of the runs that train. */
const describeSteps = (steps: ReadonlyMap<SweepRun, StepLine>): string =>
  [...steps]
    .map(([{ name }, { step, loss }]) => `${name}: step ${step}, loss ${loss.toFixed(4)}`)
    .join(' · ');

function describeEnd({ state, result, error }: SweptRun): string {
  const loss = result?.best_validation_loss ?? null;
  const metric = result?.best_metric;
  const score = metric ? `, best ${metric.name} ${metric.value.toFixed(4)}` : '';
  const best =
    loss === null ? '' : `${score}, ${metric ? '' : 'best '}validation loss ${loss.toFixed(4)}`;
  const head = `${state} after ${countOf(result?.steps ?? 0, 'step')}${best}`;
  return error === null ? head : `${head}\n  ${indentedLines(error)}`;
}
