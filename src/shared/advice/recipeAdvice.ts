import { isBetter, isBestMetric, type BestMetric } from '../bestMetric';
import type { Recipe } from '../recipe';
import { usualRank } from '../usualRank';

/** A run of the workspace that has ended with a score. */
export interface TriedRun {
  /** The base, and what it was trained and compared on. */
  readonly base: string;
  readonly data: string;
  readonly method: Recipe['training']['method'];
  readonly rate: number;
  readonly r: number;
  readonly metric: BestMetric;
  readonly score: number;
  /** Milliseconds since 1970. */
  readonly ended: number;
}

/** A suggested change of a recipe, with the numbers that support it. */
export type RecipeAdvice =
  /** An adapter is trained at a rate of full fine-tuning. */
  | { readonly kind: 'low rate'; readonly rate: number; readonly suggested: number }
  /** All weights are trained at a rate of adapters. */
  | { readonly kind: 'high rate'; readonly rate: number; readonly suggested: number }
  | { readonly kind: 'attention only' }
  | {
      readonly kind: 'rank';
      readonly rows: number;
      readonly r: number;
      readonly suggested: number;
    }
  /** The best of several runs with different learning rates. */
  | {
      readonly kind: 'own runs';
      readonly runs: number;
      readonly rates: number;
      readonly rate: number;
      readonly r: number;
      readonly metric: BestMetric;
      readonly score: number;
      /**
       * The runs had other data: their scores are not comparable, but their learning rate may still
       * help.
       */
      readonly isOtherData: boolean;
    };

/** LoRA's best rates are about ten times those of full fine-tuning: see docs/training.md. */
const RATE_RATIO = 10;
/** Below it, rates are those of full fine-tuning; above the other one, those of adapters. */
const LOW_FOR_LORA = 5e-5;
const HIGH_FOR_FULL = 1e-4;
/** Only ranks that are far from the usual one are mentioned. */
const FAR_BELOW = 4;
const FAR_ABOVE = 8;

const ATTENTION =
  /^(?:.*\.)?(?:[qkvo]_proj|qkv_proj|q|k|v|query|key|value|query_key_value|c_attn|Wqkv|out_proj)$/;

/** What a recipe depends on that is not in it. */
export interface AdviceInputs {
  /** Null where they cannot be counted. */
  readonly rows: number | null;
  readonly runs: readonly TriedRun[];
}

/** Advice for a recipe before it is trained, the most important first. */
export function recipeAdvice(recipe: Recipe, { rows, runs }: AdviceInputs): RecipeAdvice[] {
  const isFull = recipe.training.method === 'full';
  const own = ownRuns(recipe, runs);
  return [
    ...(own ? [own] : rateAdvice(recipe)),
    ...(isFull ? [] : targetAdvice(recipe)),
    ...(isFull || rows === null ? [] : rankAdvice(recipe, rows)),
  ];
}

export function rateAdvice({ training }: Recipe): RecipeAdvice[] {
  const { learning_rate: rate, method } = training;
  const suggested = (factor: number) => Number((rate * factor).toPrecision(2));
  if (method === 'lora' && rate < LOW_FOR_LORA)
    return [{ kind: 'low rate', rate, suggested: suggested(RATE_RATIO) }];
  if (method === 'full' && rate > HIGH_FOR_FULL)
    return [{ kind: 'high rate', rate, suggested: suggested(1 / RATE_RATIO) }];
  return [];
}

function targetAdvice({ lora }: Recipe): RecipeAdvice[] {
  const { target_modules: targets, init_adapter } = lora;
  const isAttention =
    init_adapter === null &&
    Array.isArray(targets) &&
    targets.every((name) => ATTENTION.test(name));
  return isAttention ? [{ kind: 'attention only' }] : [];
}

function rankAdvice({ lora: { r, init_adapter } }: Recipe, rows: number): RecipeAdvice[] {
  const suggested = usualRank(rows);
  const isFar = r * FAR_BELOW <= suggested || r >= suggested * FAR_ABOVE;
  return isFar && init_adapter === null ? [{ kind: 'rank', rows, r, suggested }] : [];
}

/** Identifies the data that losses are measured on. */
export const dataOf = ({ dataset, validation, validation_split, training, task }: Recipe): string =>
  JSON.stringify([task, dataset, validation, validation_split, training.seed]);

/**
 * The best of the user's own runs with this base: those on the same data, else the newest group of
 * others, whose rates can be compared with one another. Null where no two rates were tried, or the
 * recipe has the rate that was best.
 */
export function ownRuns(recipe: Recipe, runs: readonly TriedRun[]): RecipeAdvice | null {
  const { method, learning_rate, metric_for_best_model } = recipe.training;
  const fitting = runs.filter(
    (run) =>
      run.base === recipe.base && run.method === method && run.metric === metric_for_best_model,
  );
  const data = dataOf(recipe);
  const [group] = groupsOf(fitting).sort(
    (a, b) => Number(isOn(data, b)) - Number(isOn(data, a)) || newest(b) - newest(a),
  );
  if (!group) return null;
  const best = group.reduce((a, b) => (isBetter(b.score, a.score, a.metric) ? b : a));
  if (best.rate === learning_rate) return null;
  const { rate, r, metric, score } = best;
  const rates = new Set(group.map((run) => run.rate)).size;
  return {
    ...{ kind: 'own runs', runs: group.length, rates, rate, r, metric, score },
    isOtherData: !isOn(data, group),
  };
}

/** The runs on the same data, where they differ in their rates. */
function groupsOf(runs: readonly TriedRun[]): (readonly TriedRun[])[] {
  const groups = new Map<string, TriedRun[]>();
  for (const run of runs) groups.set(run.data, [...(groups.get(run.data) ?? []), run]);
  return [...groups.values()].filter((group) => new Set(group.map(({ rate }) => rate)).size > 1);
}

const isOn = (data: string, [run]: readonly TriedRun[]): boolean => run?.data === data;

const newest = (runs: readonly TriedRun[]): number => Math.max(...runs.map(({ ended }) => ended));

/** A metric that a record names; the loss where it names none. */
export const metricOrLoss = (name: unknown): BestMetric => (isBestMetric(name) ? name : 'loss');
