import type { RunHistory } from '../../../src/shared/history';
import type { EvalLine } from '../../../src/shared/metrics';
import type { RunRecord } from '../../../src/shared/run';

/** Something certain to say about how the run goes. */
export type HealthNote =
  | { readonly kind: 'nan'; readonly step: number }
  | { readonly kind: 'rising'; readonly step: number }
  | { readonly kind: 'worse'; readonly loss: number; readonly base: number }
  | { readonly kind: 'clipped'; readonly steps: number; readonly limit: number }
  | { readonly kind: 'noValidation' };

const CLIPPED_STEPS = 50;
const RISES = 3;

/** The notes that the numbers allow, the gravest first. */
export function healthNotes(history: RunHistory, run: RunRecord | null): HealthNote[] {
  const evals = history.lines.filter((line) => line.kind === 'eval');
  return [...lossNotANumber(history), ...risingValidation(evals), ...worseThanBase(evals), ...alwaysClipped(history, run), ...noValidation(run)];
}

export const isGrave = (note: HealthNote): boolean => note.kind === 'nan';
export const isWarning = (note: HealthNote): boolean => note.kind === 'rising' || note.kind === 'worse';

function lossNotANumber(history: RunHistory): HealthNote[] {
  const loss = history.column('loss');
  let first = loss.length;
  while (first > 0 && !Number.isFinite(loss[first - 1]!)) first--;
  return first < loss.length ? [{ kind: 'nan', step: history.column('step')[first]! }] : [];
}

/** Each of the last evaluations was above the one before. */
function risingValidation(evals: readonly EvalLine[]): HealthNote[] {
  let start = evals.length - 1;
  while (start > 0 && evals[start]!.loss > evals[start - 1]!.loss) start--;
  return evals.length - 1 - start >= RISES ? [{ kind: 'rising', step: evals[start]!.step }] : [];
}

function worseThanBase(evals: readonly EvalLine[]): HealthNote[] {
  const base = evals[0];
  const last = evals.at(-1);
  return base && last && base.step === 0 && last.step > 0 && last.loss > base.loss ? [{ kind: 'worse', loss: last.loss, base: base.loss }] : [];
}

function alwaysClipped(history: RunHistory, run: RunRecord | null): HealthNote[] {
  const limit = run?.recipe.training.max_grad_norm ?? 0;
  const norms = history.column('grad_norm').slice(-CLIPPED_STEPS);
  return limit > 0 && norms.length === CLIPPED_STEPS && norms.every((norm) => norm > limit) ? [{ kind: 'clipped', steps: CLIPPED_STEPS, limit }] : [];
}

function noValidation(run: RunRecord | null): HealthNote[] {
  return run?.data?.validation_examples === 0 ? [{ kind: 'noValidation' }] : [];
}
