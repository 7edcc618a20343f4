import type { BestMetric } from '../../../src/shared/bestMetric';
import type { SampleLine } from '../../../src/shared/metrics/lines';
import type { RunHistory } from '../../../src/shared/runHistory';
import { bestEvaluation, samplesByPrompt, type BestEvaluation } from './summary';

/** What a run has learned, in numbers. */
export interface End {
  /** The validation loss before and after, or the mean training loss at the start and the end. */
  readonly loss: {
    readonly of: 'validation' | 'loss';
    readonly from: number;
    readonly to: number;
  } | null;
  /** Sampled rows that were answered exactly as expected. */
  readonly exact: { readonly from: number; readonly to: number; readonly all: number } | null;
  /** Null without validation. */
  readonly best: (BestEvaluation & { readonly isLast: boolean }) | null;
}

/** Null before the first step. */
export function endOf(history: RunHistory, metric: BestMetric): End | null {
  if (history.length === 0) return null;
  const best = bestEvaluation(history, metric);
  const lastEvaluation = history.lines.findLast(({ kind }) => kind === 'eval')?.step ?? 0;
  return {
    loss: validationChange(history) ?? lossChange(history),
    exact: exactSamples(history),
    best: best && { ...best, isLast: best.step === lastEvaluation },
  };
}

function validationChange(history: RunHistory): End['loss'] {
  const evals = history.lines
    .filter((line) => line.kind === 'eval')
    .filter(({ loss }) => Number.isFinite(loss));
  const [first, last] = [evals[0], evals.at(-1)];
  return first && last && first.step < last.step
    ? { of: 'validation', from: first.loss, to: last.loss }
    : null;
}

const [MOST_STEPS, LEAST_STEPS] = [10, 4];

/** A single step is noisy: the means of a quarter of the steps, ten at most. */
function lossChange(history: RunHistory): End['loss'] {
  const losses = history.column('loss').filter(Number.isFinite);
  if (losses.length < LEAST_STEPS) return null;
  const count = Math.min(MOST_STEPS, losses.length >> 2);
  const mean = (part: Float64Array) => part.reduce((sum, loss) => sum + loss, 0) / count;
  return { of: 'loss', from: mean(losses.subarray(0, count)), to: mean(losses.slice(-count)) };
}

/**
 * Of the rows that were answered both before the training and after a step. An answer that was cut
 * off while it was still right is neither right nor wrong.
 */
function exactSamples(history: RunHistory): End['exact'] {
  const judged = samplesByPrompt(history).filter(
    ({ base, latest }) => base?.exact !== undefined && latest?.exact !== undefined,
  );
  if (judged.length === 0) return null;
  const right = (lines: readonly (SampleLine | undefined)[]) =>
    lines.filter((line) => line?.exact === true).length;
  return {
    from: right(judged.map(({ base }) => base)),
    to: right(judged.map(({ latest }) => latest)),
    all: judged.length,
  };
}
