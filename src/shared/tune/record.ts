import * as v from 'valibot';
import { BEST_METRICS } from '../bestMetric';
import { LoraError } from '../errors';
import { ruleOf } from '../schemaRule';
import { recipeFile } from '../sweep/record';

/** The file in a tune's folder that says how far it is. Beside it, sweep.json lists its runs. */
export const TUNE_FILE = 'tune.json';

const MAX_TRIALS = 64;
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
const seconds = v.pipe(v.number(), v.finite(), v.minValue(0));
/** JSON has no NaN: null is the score of a run that failed. */
const score = v.pipe(
  v.nullable(v.number()),
  v.transform((value) => value ?? NaN),
);

const RangeTestSchema = v.object({
  points: v.pipe(
    v.array(v.object({ rate: v.number(), loss: score, smoothed: score })),
    v.maxLength(100),
  ),
  suggestion: v.nullable(v.number()),
  diverged: v.boolean(),
});

const TuneRecordSchema = v.object({
  version: v.literal(1),
  /** The budget. */
  minutes: v.pipe(v.number(), v.finite(), v.gtValue(0)),
  metric: v.picklist(BEST_METRICS),
  /** Seconds of the budget that are spent. */
  spent: seconds,
  range_test: v.nullable(RangeTestSchema),
  /** Null until the first configuration has been measured. */
  plan: v.nullable(
    v.object({
      configurations: count,
      rungs: v.pipe(count, v.minValue(1)),
      seconds,
      speed: v.object({ seconds_per_step: seconds, overhead: seconds }),
    }),
  ),
  /** The configurations in the order in which they begin. */
  trials: v.pipe(
    v.array(
      v.pipe(
        v.object({
          /** The recipe of its run in the tune's folder. */
          recipe: recipeFile,
          /** The steps at which its rungs end. */
          steps: v.pipe(v.array(v.pipe(count, v.minValue(1))), v.minLength(1), v.maxLength(8)),
          /** Its best score up to each rung that it has reached. */
          scores: v.array(score),
        }),
        v.check(({ steps, scores }) => scores.length <= steps.length),
      ),
    ),
    v.minLength(1),
    v.maxLength(MAX_TRIALS),
  ),
  /** The recipe that was written at the end. */
  tuned: v.nullable(v.string()),
});

/** tune.json */
export type TuneRecord = v.InferOutput<typeof TuneRecordSchema>;
/** A configuration of a tune. */
export type TunedTrial = TuneRecord['trials'][number];

/** Checks the content of tune.json. @throws LoraError('run') */
export function parseTune(value: unknown, file: string): TuneRecord {
  const { success, output, issues } = v.safeParse(TuneRecordSchema, value);
  if (success) return output;
  const issue = issues[0];
  throw new LoraError(
    'run',
    `This is not the file of a tune: "${v.getDotPath(issue) ?? 'it'}" ${ruleOf(issue)}.`,
    { place: { file } },
  );
}
