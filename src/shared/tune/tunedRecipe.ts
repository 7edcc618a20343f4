import { applyEdits, modify } from 'jsonc-parser';
import type { BestMetric } from '../bestMetric';
import type { Recipe } from '../recipe';
import { stemOf } from '../sweep/places';
import { pathOfKey, shortNames } from '../sweep/recipeKeys';
import type { SweepRecord } from '../sweep/record';
import { valueText } from '../sweep/valueText';
import { countOf } from '../values';
import { bestTrial, rankedAt, type Promotion } from './halving';
import type { TuneRecord } from './record';

/** What a tune has found. */
export interface Outcome extends Promotion {
  readonly score: number;
  /** Of the keys that vary. */
  readonly values: readonly unknown[];
}

/** The best configuration of the highest rung; null before a first score. */
export function outcomeOf(sweep: SweepRecord, tune: TuneRecord): Outcome | null {
  const trials = tune.trials.map(({ scores }) => ({ scores, isTraining: false }));
  const best = bestTrial(trials, tune.metric);
  return best && { ...best, values: valuesOf(sweep, tune, best.trial) };
}

const valuesOf = (sweep: SweepRecord, tune: TuneRecord, trial: number): readonly unknown[] =>
  sweep.runs.find(({ recipe }) => recipe === tune.trials[trial]!.recipe)?.values ?? [];

/** "learning_rate 3e-4, r 16" */
export const describeValues = (sweep: SweepRecord, values: readonly unknown[]): string =>
  shortNames(sweep.vary.map(({ key }) => key))
    .map((name, k) => `${name} ${valueText(values[k])}`)
    .join(', ');

/** "validation loss 0.4123" */
export const describeScore = (metric: BestMetric, score: number): string =>
  `${metric === 'loss' ? 'validation loss' : metric} ${score.toFixed(4)}`;

/** The name of a tuned recipe beside its own: git.tuned.lora.json, then git.tuned-2.lora.json. */
export const tunedName = (recipe: string, number: number): string =>
  `${stemOf(recipe)}.tuned${number === 1 ? '' : `-${number}`}.lora.json`;

const MAX_OTHERS = 5;

/** Why a configuration was chosen: what was tried, and how far and how well it went. */
export function describeReason(
  sweep: SweepRecord,
  tune: TuneRecord,
  outcome: Outcome,
): readonly string[] {
  const { metric, trials, minutes } = tune;
  const { steps } = trials[outcome.trial]!;
  const begun = trials.filter(({ scores }) => scores.length > 0).length;
  const ranked = rankedAt(
    trials.map(({ scores }) => ({ scores, isTraining: false })),
    outcome.rung,
    metric,
  ).filter((trial) => trial !== outcome.trial);
  const others = ranked.slice(0, MAX_OTHERS).map((trial) => {
    const score = trials[trial]!.scores[outcome.rung]!;
    const result = Number.isNaN(score) ? 'failed' : score.toFixed(4);
    return `  ${describeValues(sweep, valuesOf(sweep, tune, trial))}: ${result}`;
  });
  return [
    `${describeValues(sweep, outcome.values)}: ${describeScore(metric, outcome.score)} ` +
      `after ${steps[outcome.rung]!} of ${countOf(steps.at(-1)!, 'step')}.`,
    `Tried ${begun} of ${countOf(trials.length, 'configuration')} within ${minutes} minutes:`,
    ...sweep.vary.map(({ key, values }) => `  ${key}: ${values.map(valueText).join(', ')}`),
    ...(others.length > 0 ? ['The next best at the same step:', ...others] : []),
    ...edgeOf(sweep, outcome),
    ...(outcome.rung < steps.length - 1
      ? ['No configuration was trained to its end: a longer training may prefer another rate.']
      : []),
  ];
}

/** A best value at the end of what was tried says little about those beyond. */
function edgeOf({ vary }: SweepRecord, { values }: Outcome): readonly string[] {
  return vary.flatMap(({ key, values: tried }, k) => {
    const numbers = tried.filter((value) => typeof value === 'number');
    const value = values[k];
    if (numbers.length < 2 || numbers.length < tried.length || typeof value !== 'number') return [];
    const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
    if (value !== least && value !== most) return [];
    return [
      `${key} is the ${value === most ? 'highest' : 'lowest'} that was tried: try beyond it.`,
    ];
  });
}

/**
 * The text of a recipe with the values that a tune has found, and why, as comments at its start.
 *
 * @param text The recipe as it is.
 * @param tuned The recipe of the configuration: with the rank, lora_alpha may have changed as well.
 */
export function tunedText(
  text: string,
  { keys, tuned, reason }: { keys: readonly string[]; tuned: Recipe; reason: readonly string[] },
): string {
  const changed = keys.includes('lora.r') ? [...new Set([...keys, 'lora.lora_alpha'])] : keys;
  const edited = changed.reduce((now, key) => {
    const path = [...pathOfKey(key)];
    const value = path.reduce<unknown>(
      (inner, part) => (inner as Record<string, unknown> | undefined)?.[part],
      tuned,
    );
    const formattingOptions = { insertSpaces: true, tabSize: 2 };
    return applyEdits(now, modify(now, path, value, { formattingOptions }));
  }, text);
  const comment = reason.map((line) => `// ${line.replace(/[\r\n]+/g, ' ')}\n`).join('');
  return `${comment}${edited}`;
}
