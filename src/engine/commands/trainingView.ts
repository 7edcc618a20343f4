import path from 'node:path';
import type { EvalLine, MetricLine, StepLine } from '../../shared/metrics/lines';
import {
  forgettingAdvice,
  hasForgotten,
  type ForgettingAdvice,
  type RunForgetting,
} from '../../shared/evaluation/forgetting';
import type { Recipe } from '../../shared/recipe';
import type { RunScore } from '../../shared/evaluation/result';
import { verdictWords } from '../../shared/evaluation/verdict';
import type { EngineProgress, EngineStatus } from '../../shared/engineProtocol';
import { RUN_FILES, type RunRecord, type RunResult, type StoppedEarly } from '../../shared/run';
import type { SupervisorOptions } from '../training/supervisor';
import type { CommandContext } from './context';
import { valueText } from '../evaluation/report/words';
import { describeWorse, formatClock } from '../describe';
import { clearLine, isTerminal, replaceLine } from '../terminal';
import { progressBar } from './progress';
import { shellQuote } from '../../common/shellQuote';
import { countOf } from '../../shared/values';
import { joinLines } from '../report';

/** Shows a training run on the command line. */
export interface TrainingView {
  readonly hooks: Pick<SupervisorOptions, 'onMetric' | 'onProgress' | 'onStatus' | 'onLog'>;
  /** Shows how the run ended. */
  readonly finish: (record: RunRecord) => void;
}

/** One JSON object per line with --json, a progress bar on a terminal, otherwise lines of text. */
export function trainingView(context: CommandContext, runDir: string): TrainingView {
  if (context.json) {
    return jsonView(context, runDir);
  }
  return isTerminal() ? barView(context, runDir) : lineView(context, runDir);
}

function jsonView({ print, warn, note }: CommandContext, runDir: string): TrainingView {
  return {
    hooks: {
      onMetric: (line) => print(JSON.stringify(line)),
      onLog: (level, message) => {
        if (level === 'warn') {
          warn(message);
        }
        // the result contains the error
        if (level === 'error') {
          note(message);
        }
      },
    },
    finish: ({ state, result, error }) =>
      print(JSON.stringify({ kind: 'result', run_dir: runDir, state, ...result, error })),
  };
}

const STEP_LINE_INTERVAL_MS = 5_000;

function lineView({ print, warn }: CommandContext, runDir: string): TrainingView {
  let lastStepLine = -Infinity;
  let status: EngineStatus | null = null;
  let phase: EngineProgress['phase'] | null = null;
  const isStepDue = (step: number) =>
    performance.now() - lastStepLine >= STEP_LINE_INTERVAL_MS || step === status?.total_steps;
  return {
    hooks: {
      onProgress: (progress) => {
        if (progress.phase !== phase && progress.phase !== 'training') {
          print(`${progress.phase} …`);
        }
        phase = progress.phase;
      },
      onStatus: (now) => {
        status = now;
      },
      onMetric: (line) => {
        const text = describeMetric(line, status);
        if (text === null || (line.kind === 'step' && !isStepDue(line.step))) {
          return;
        }
        if (line.kind === 'step') {
          lastStepLine = performance.now();
        }
        print(text);
      },
      onLog: (level, message) => (level === 'info' ? print(message) : warn(message)),
    },
    finish: (record) => print(describeEnd(record, runDir)),
  };
}

function barView({ print, warn }: CommandContext, runDir: string): TrainingView {
  let status: EngineStatus | null = null;
  let bar = '';
  const draw = () => replaceLine(bar);
  const writeAbove = (write: () => void) => {
    clearLine();
    write();
    draw();
  };
  return {
    hooks: {
      onProgress: ({ phase, fraction }) => {
        if (phase !== 'training') {
          bar = fraction === null ? phase : `${phase} ${progressBar(fraction)}`;
        }
        draw();
      },
      onStatus: (now) => {
        status = now;
      },
      onMetric: (line) => {
        const text = describeMetric(line, status);
        if (text === null) {
          return;
        }
        if (line.kind !== 'step') {
          writeAbove(() => print(text));
          return;
        }
        bar = `${progressBar(line.step / (status?.total_steps ?? line.step))} ${text}`;
        draw();
      },
      onLog: (_level, message) => writeAbove(() => warn(message)),
    },
    finish: (record) => {
      clearLine();
      print(describeEnd(record, runDir));
    },
  };
}

/** A line for a metric; null if it is not shown. */
function describeMetric(line: MetricLine, status: EngineStatus | null): string | null {
  switch (line.kind) {
    case 'step':
      return describeStep(line, status);
    case 'eval':
      return describeEvaluation(line);
    case 'sample':
      return `step ${line.step}  ${JSON.stringify(line.prompt)} -> ${JSON.stringify(line.completion)}`;
    case 'checkpoint':
      return `step ${line.step}  checkpoint ${line.path}`;
    case 'resume':
      return `resumed at step ${line.step}`;
    case 'batch':
      return null;
  }
}

function describeStep(line: StepLine, status: EngineStatus | null): string {
  const total = status?.total_steps ?? null;
  const deviceMemory = status?.device_memory ?? null;
  const secondsLeft = status?.seconds_left ?? null;
  const step = total === null ? `step ${line.step}` : `step ${line.step} of ${total}`;
  const gpu = deviceMemory === null ? '' : `, GPU ${gigabytes(deviceMemory.used)}`;
  return [
    step,
    `loss ${line.loss.toFixed(4)}`,
    `${Math.round(line.tokens_per_second)} tokens/s`,
    `${gigabytes(line.memory)}${gpu}`,
    ...(secondsLeft === null ? [] : [`${formatClock(secondsLeft)} left`]),
  ].join('  ');
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;

/** An evaluation, with a line for each of several sources. */
export function describeEvaluation({ step, loss, scores, sources = [] }: EvalLine): string {
  const whole = [
    `step ${step}  validation loss ${loss.toFixed(4)}`,
    ...Object.entries(scores ?? {}).map(([name, value]) => `${name} ${value.toFixed(4)}`),
  ].join(', ');
  const parts = sources
    .filter((source) => !Number.isNaN(source.loss))
    .map((source) => `  ${source.loss.toFixed(4)} on ${source.name}`);
  return joinLines([whole, ...parts]);
}

/** How a run ended, and where what it has trained is. */
export function describeEnd({ result, state, recipe }: RunRecord, runDir: string): string {
  if (state === 'failed') {
    return `The run failed: ${runDir}`;
  }
  const { steps, model, adapter, stopped_early: early } = result;
  if (steps === 0) {
    return joinLines([
      'stopped before the first step: nothing was trained',
      `Start again with: lora train --resume ${shellQuote(runDir)}`,
    ]);
  }
  const lines = [`${state} after ${countOf(steps, 'step')}, ${describeLosses(result)}`];
  if (early) {
    lines.push(describeEarlyEnd(early));
  }
  const product = model ?? adapter;
  if (product) {
    lines.push(`${model ? 'model' : 'adapter'}: ${path.join(runDir, product)}`);
  }
  lines.push(...describeBest(result, runDir));
  if (result.evaluation) {
    const folder = path.join(runDir, RUN_FILES.evaluation);
    lines.push(`suites: ${describeScore(result.evaluation, folder)}`);
  }
  if (result.forgetting) {
    lines.push(...describeForgetting(result.forgetting, recipe, runDir));
  }
  if (state === 'stopped') {
    lines.push(`Resume with: lora train --resume ${shellQuote(runDir)}`);
  }
  return joinLines(lines);
}

/** What the recipe's suites have given. */
function describeScore({ score, base, verdict, rows }: RunScore, folder: string): string {
  const text = (value: number | null) => (value === null ? 'no score' : valueText(value, null));
  const against = base === null ? '' : `, base ${text(base)}`;
  const words = verdict === null ? '' : `: ${verdictWords(verdict)}`;
  return `${text(score)}${against}${words} (${countOf(rows, 'row')}): ${folder}`;
}

/** The remedies against forgetting. */
const ADVICE: Readonly<Record<ForgettingAdvice, string>> = {
  rate: 'a lower learning_rate',
  replay: 'general chats among the rows (a second source in dataset)',
  mlp: 'MLP modules only (target_modules: gate_proj, up_proj, down_proj)',
  scale: 'a smaller lora_alpha, or a smaller scale when the adapter is used',
};

/** The forgetting of a run, and remedies if it is large. */
function describeForgetting(
  { base_loss, loss, answers }: RunForgetting,
  recipe: Recipe,
  runDir: string,
): string[] {
  const lines: string[] = [];
  if (base_loss !== null && loss !== null) {
    lines.push(`general text: loss ${loss.toFixed(4)}, base ${base_loss.toFixed(4)}`);
  }
  if (answers) {
    const folder = path.join(runDir, RUN_FILES.forgetting);
    lines.push(`general questions: ${describeScore(answers, folder)}`);
  }
  if (hasForgotten(base_loss, loss)) {
    const advice = forgettingAdvice(recipe).map((own) => ADVICE[own]);
    lines.push(`The model forgets what it could do. What may help: ${advice.join('; ')}.`);
  }
  return lines;
}

/** Why a training run ended before its last step. */
const describeEarlyEnd = ({ metric, patience }: StoppedEarly): string =>
  `ended early: ${countOf(patience, 'evaluation')} in a row did not improve the best ${metric}`;

/** The metric that best/ was chosen by. */
const describeMetricValue = (metric: RunResult['best_metric'], loss: number): string =>
  metric ? `${metric.name} ${metric.value.toFixed(4)}` : `validation loss ${loss.toFixed(4)}`;

function describeLosses({ steps, last_loss, ...result }: RunResult): string {
  const { last_validation_loss, last_validation_step = steps } = result;
  const losses = [`loss ${last_loss?.toFixed(4) ?? '–'}`];
  if (last_validation_loss !== null) {
    const at = last_validation_step === steps ? '' : ` at step ${last_validation_step}`;
    losses.push(`validation loss ${last_validation_loss.toFixed(4)}${at}`);
  }
  return losses.join(', ');
}

/** Names best/ where it holds other weights than the last, and says where neither helps. */
function describeBest(result: RunResult, runDir: string): string[] {
  const { steps, best_step, best_validation_loss, best_metric, ...others } = result;
  const { first_validation_loss = null } = others;
  if (best_step === null || best_validation_loss === null) {
    return [];
  }
  const lines: string[] = [];
  if (best_step !== steps) {
    const folder = path.join(runDir, RUN_FILES.best);
    lines.push(
      `best: ${folder} (${describeMetricValue(best_metric, best_validation_loss)} at step ${best_step})`,
    );
  }
  if (
    !best_metric &&
    first_validation_loss !== null &&
    first_validation_loss < best_validation_loss
  ) {
    lines.push(describeWorse(first_validation_loss));
  }
  return lines;
}
