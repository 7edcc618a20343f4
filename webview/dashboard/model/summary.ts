import { isBetter, metricOf, type BestMetric } from '../../../src/shared/bestMetric';
import type { SampleLine, SampleMessage } from '../../../src/shared/metrics/lines';
import {
  VALIDATION_SCORES,
  type ScoreName,
  type StepField,
} from '../../../src/shared/metrics/table';
import type { RunHistory } from '../../../src/shared/runHistory';
import type { Mark } from '../../shared/charts/mark';

const RECENT_STEPS = 50;

/** Seconds until the last step at the speed of the latest steps; null while unknown. */
export function secondsLeft(history: RunHistory, total: number | null): number | null {
  const elapsed = history.column('elapsed');
  const steps = history.column('step');
  const last = elapsed.length - 1;
  const first = Math.max(0, last - RECENT_STEPS);
  if (total === null || last <= first) return null;
  const left =
    ((elapsed[last]! - elapsed[first]!) / (steps[last]! - steps[first]!)) * (total - steps[last]!);
  return Number.isFinite(left) && left >= 0 ? left : null;
}

/** The last value of a column; NaN before the first step. */
export function lastValue(history: RunHistory, field: StepField): number {
  return history.column(field).at(-1) ?? NaN;
}

export interface Validation {
  readonly last: number;
  readonly best: number;
  readonly bestStep: number;
  /** The first of the last evaluation's scores. */
  readonly score: { readonly name: ScoreName; readonly value: number } | null;
}

/** The last and the lowest validation loss; undefined before the first evaluation. */
export function validation(history: RunHistory): Validation | undefined {
  const evals = history.lines
    .filter((line) => line.kind === 'eval')
    .filter((line) => Number.isFinite(line.loss));
  const last = evals.at(-1);
  if (!last) return undefined;
  const best = evals.reduce((a, b) => (b.loss < a.loss ? b : a));
  const name = VALIDATION_SCORES.find((own) => last.scores?.[own] !== undefined);
  return {
    last: last.loss,
    best: best.loss,
    bestStep: best.step,
    score: name ? { name, value: last.scores![name]! } : null,
  };
}

/** A step to be marked in the chart of the losses. */
export type StepMark = Omit<Mark, 'x'> & { readonly step: number };

/** The evaluation whose weights are in best/. */
export interface BestEvaluation {
  readonly step: number;
  readonly loss: number;
  /** Of the metric that it is the best by. */
  readonly value: number;
}

/** The best evaluation; null before the first, and where none beats that before training. */
export function bestEvaluation(history: RunHistory, metric: BestMetric): BestEvaluation | null {
  const evals = history.lines
    .filter((line) => line.kind === 'eval')
    .map((line) => ({ step: line.step, loss: line.loss, value: metricOf(line, metric) }))
    .filter(({ value }) => Number.isFinite(value));
  const [first, ...others] = evals;
  if (!first) return null;
  const best = others.reduce((a, b) => (isBetter(b.value, a.value, metric) ? b : a), first);
  return best.step > 0 ? best : null;
}

/** Steps with a checkpoint, and the step whose weights are in best/. */
export function runMarks(history: RunHistory, metric: BestMetric): readonly StepMark[] {
  const checkpoints = history.lines
    .filter((line) => line.kind === 'checkpoint')
    .map(({ step }) => ({ step, kind: 'checkpoint' as const }));
  const best = bestEvaluation(history, metric);
  return best ? [...checkpoints, { step: best.step, kind: 'best', value: best.loss }] : checkpoints;
}

/** The step of the last checkpoint; null without one. */
export function lastCheckpointStep(history: RunHistory): number | null {
  return history.lines.filter((line) => line.kind === 'checkpoint').at(-1)?.step ?? null;
}

/** The model's answers to one prompt, or to one row of the dataset. */
export interface PromptSamples {
  readonly key: string;
  readonly prompt: string;
  /** The row's line in the dataset; undefined for prompts of the recipe. */
  readonly line: number | undefined;
  /** What the model reads before the prompt. */
  readonly before: readonly SampleMessage[];
  /** What the row teaches. */
  readonly expected: string | undefined;
  /** The answer before training. */
  readonly base: SampleLine | undefined;
  readonly latest: SampleLine | undefined;
  /** The others, newest first. */
  readonly earlier: readonly SampleLine[];
}

export function samplesByPrompt(history: RunHistory): PromptSamples[] {
  const byPrompt = new Map<string, Map<number, SampleLine>>();
  for (const line of history.lines) {
    if (line.kind !== 'sample') continue;
    const key = `${line.line ?? ''} ${line.prompt}`;
    const steps = byPrompt.get(key) ?? new Map<number, SampleLine>();
    byPrompt.set(key, steps.set(line.step, line));
  }
  return [...byPrompt].map(([key, steps]) => {
    const trained = [...steps.values()]
      .filter((line) => line.step > 0)
      .sort((a, b) => b.step - a.step);
    const [base, latest] = [steps.get(0), trained[0]];
    const { prompt, line, before = [], expected } = (latest ?? base)!;
    return { key, prompt, line, before, expected, base, latest, earlier: trained.slice(1) };
  });
}
