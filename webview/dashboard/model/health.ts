import {
  forgettingAdvice,
  hasForgotten,
  type ForgettingAdvice,
} from '../../../src/shared/evaluation/forgetting';
import type { EvalLine } from '../../../src/shared/metrics/lines';
import type { AdvisedKey } from '../../../src/shared/pages/dashboard/protocol';
import type { RunHistory } from '../../../src/shared/runHistory';
import type { RunRecord } from '../../../src/shared/run';

/** Something that is certain about the health of a run. */
export type HealthNote =
  | { readonly kind: 'nan'; readonly step: number }
  | {
      readonly kind: 'exploding';
      readonly step: number;
      readonly norm: number;
      readonly usual: number;
    }
  | {
      readonly kind: 'climbing';
      readonly step: number;
      readonly loss: number;
      readonly lowest: number;
    }
  | { readonly kind: 'zeroRate'; readonly step: number }
  | { readonly kind: 'unlabelled'; readonly step: number; readonly steps: number }
  | { readonly kind: 'rising'; readonly step: number }
  | { readonly kind: 'worse'; readonly loss: number; readonly base: number }
  | {
      readonly kind: 'forgets';
      readonly loss: number;
      readonly base: number;
      readonly advice: readonly ForgettingAdvice[];
    }
  | {
      readonly kind: 'bothFall';
      readonly chosen: readonly [from: number, to: number];
      readonly rejected: readonly [from: number, to: number];
    }
  | { readonly kind: 'clipped'; readonly steps: number; readonly limit: number }
  | { readonly kind: 'skippedRows'; readonly rows: number }
  | { readonly kind: 'noValidation' };

const CLIPPED_STEPS = 50;
const RISES = 3;

/** All notes on a run, the most severe first. */
export function healthNotes(history: RunHistory, run: RunRecord | null): HealthNote[] {
  const evals = history.lines.filter((line) => line.kind === 'eval');
  return [
    ...lossNotANumber(history),
    ...skippedRows(run),
    ...explodingGradient(history),
    ...climbingLoss(history),
    ...zeroRate(history),
    ...unlabelled(history),
    ...risingValidation(evals),
    ...worseThanBase(evals),
    ...forgets(evals, run),
    ...bothFall(history),
    ...alwaysClipped(history, run),
    ...noValidation(run),
  ];
}

const ADVICE_KEYS: Readonly<Record<ForgettingAdvice, AdvisedKey>> = {
  rate: 'training.learning_rate',
  replay: 'dataset',
  mlp: 'lora.target_modules',
  scale: 'lora.lora_alpha',
};

/** The keys of the recipe that a note advises to change. */
export function settingsOf(note: HealthNote): readonly AdvisedKey[] {
  switch (note.kind) {
    case 'nan':
    case 'climbing':
    case 'worse':
    case 'bothFall':
      return ['training.learning_rate'];
    case 'exploding':
    case 'clipped':
      return ['training.learning_rate', 'training.max_grad_norm'];
    case 'unlabelled':
      return ['training.max_length'];
    case 'rising':
      return ['training.num_train_epochs'];
    case 'noValidation':
      return ['validation_split'];
    case 'forgets':
      return note.advice.map((own) => ADVICE_KEYS[own]);
    default:
      return [];
  }
}

export type NoteSeverity = 'error' | 'warning' | 'info';

export function severityOf({ kind }: HealthNote): NoteSeverity {
  if (kind === 'nan') return 'error';
  return kind === 'clipped' || kind === 'noValidation' ? 'info' : 'warning';
}

function lossNotANumber(history: RunHistory): HealthNote[] {
  const loss = history.column('loss');
  let first = loss.length;
  while (first > 0 && !Number.isFinite(loss[first - 1]!)) first--;
  return first < loss.length ? [{ kind: 'nan', step: history.column('step')[first]! }] : [];
}

const [USUAL_STEPS, RECENT_STEPS, TIMES_USUAL] = [30, 10, 10];

/** A gradient norm of the last steps is many times the median of those before. */
function explodingGradient(history: RunHistory): HealthNote[] {
  const norms = history.column('grad_norm');
  const recent = Math.max(0, norms.length - RECENT_STEPS);
  if (recent < USUAL_STEPS) return [];
  const usual = medianOf(norms.subarray(0, recent).slice(-200));
  const worst = norms.subarray(recent).reduce((at, norm, i, all) => (norm > all[at]! ? i : at), 0);
  const norm = norms[recent + worst]!;
  return usual > 0 && norm > TIMES_USUAL * usual
    ? [{ kind: 'exploding', step: history.column('step')[recent + worst]!, norm, usual }]
    : [];
}

const [WINDOW, RISE] = [25, 1.15];

/** The mean loss of the last steps is well above the lowest mean of as many steps. */
function climbingLoss(history: RunHistory): HealthNote[] {
  const loss = history.column('loss');
  const means: number[] = [];
  for (let end = loss.length; end >= WINDOW; end -= WINDOW)
    means.push(loss.subarray(end - WINDOW, end).reduce((a, b) => a + b, 0) / WINDOW);
  const lowest = means.reduce((at, mean, i) => (mean < means[at]! ? i : at), 0);
  if (means.length < 3 || !(means[0]! > RISE * means[lowest]!)) return [];
  return [
    {
      kind: 'climbing',
      step: history.column('step')[loss.length - 1 - lowest * WINDOW]!,
      loss: means[0]!,
      lowest: means[lowest]!,
    },
  ];
}

const ZERO_STEPS = 5;

function zeroRate(history: RunHistory): HealthNote[] {
  const rates = history.column('learning_rate');
  let first = rates.length;
  while (first > 0 && rates[first - 1] === 0) first--;
  return rates.length - first >= ZERO_STEPS
    ? [{ kind: 'zeroRate', step: history.column('step')[first]! }]
    : [];
}

/** Steps without a labelled token. */
function unlabelled(history: RunHistory): HealthNote[] {
  const labels = history.column('labelled_tokens');
  const first = labels.indexOf(0);
  return first < 0
    ? []
    : [
        {
          kind: 'unlabelled',
          step: history.column('step')[first]!,
          steps: labels.reduce((count, n) => count + Number(n === 0), 0),
        },
      ];
}

function medianOf(values: Float64Array): number {
  const sorted = values.filter(Number.isFinite).sort();
  return sorted[sorted.length >> 1] ?? NaN;
}

/** Each of the last evaluations has a higher loss than the one before. */
function risingValidation(evals: readonly EvalLine[]): HealthNote[] {
  let start = evals.length - 1;
  while (start > 0 && evals[start]!.loss > evals[start - 1]!.loss) start--;
  return evals.length - 1 - start >= RISES ? [{ kind: 'rising', step: evals[start]!.step }] : [];
}

const [FALL_WINDOW, LEAST_FALL, FALL_SHARE] = [10, 0.1, 0.1];

/**
 * The mean log-probabilities of both the chosen and the rejected answers, in the last steps, are
 * well below those of the first ones.
 */
function bothFall(history: RunHistory): HealthNote[] {
  const sides = [history.column('logps_chosen'), history.column('logps_rejected')].map(
    (column): readonly [number, number] => {
      const known = column.filter(Number.isFinite);
      if (known.length < 3 * FALL_WINDOW) return [NaN, NaN];
      return [meanOf(known.subarray(0, FALL_WINDOW)), meanOf(known.subarray(-FALL_WINDOW))];
    },
  );
  const [chosen, rejected] = sides;
  const falls = ([from, to]: readonly [number, number]) =>
    from - to > Math.max(LEAST_FALL, FALL_SHARE * Math.abs(from));
  return falls(chosen!) && falls(rejected!)
    ? [{ kind: 'bothFall', chosen: chosen!, rejected: rejected! }]
    : [];
}

const meanOf = (values: Float64Array): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

function worseThanBase(evals: readonly EvalLine[]): HealthNote[] {
  const base = evals[0];
  const last = evals.at(-1);
  return base && last && base.step === 0 && last.step > 0 && last.loss > base.loss
    ? [{ kind: 'worse', loss: last.loss, base: base.loss }]
    : [];
}

function forgets(evals: readonly EvalLine[], run: RunRecord | null): HealthNote[] {
  const measured = evals.filter(({ scores }) => scores?.general_loss !== undefined);
  const [base = NaN, loss = NaN] = [measured[0], measured.at(-1)].map(
    (line) => line?.scores?.general_loss,
  );
  const isFromStart = measured[0]?.step === 0;
  if (!run || !isFromStart || !hasForgotten(base, loss)) return [];
  return [{ kind: 'forgets', loss, base, advice: forgettingAdvice(run.recipe) }];
}

function alwaysClipped(history: RunHistory, run: RunRecord | null): HealthNote[] {
  const limit = run?.recipe.training.max_grad_norm ?? 0;
  const norms = history.column('grad_norm').slice(-CLIPPED_STEPS);
  return limit > 0 && norms.length === CLIPPED_STEPS && norms.every((norm) => norm > limit)
    ? [{ kind: 'clipped', steps: CLIPPED_STEPS, limit }]
    : [];
}

function skippedRows(run: RunRecord | null): HealthNote[] {
  const rows = run?.data?.skipped_rows ?? 0;
  return rows > 0 ? [{ kind: 'skippedRows', rows }] : [];
}

function noValidation(run: RunRecord | null): HealthNote[] {
  return run?.data?.validation_examples === 0 ? [{ kind: 'noValidation' }] : [];
}
