import * as v from 'valibot';
import { LoraError } from '../errors';
import { ruleOf } from '../schemaRule';
import { isRecipeKey } from './recipeKeys';
import { MAX_SWEEP_RUNS } from './variants';

/** The file in a sweep's folder that says what it varies. */
export const SWEEP_FILE = 'sweep.json';

const text = v.pipe(v.string(), v.maxLength(1000));
/** The name of a recipe in the folder of a sweep. */
export const recipeFile = v.pipe(
  text,
  v.regex(/^[\w-][\w.-]*\.lora\.json$/, 'is not the name of a recipe in the folder'),
);
const recipeKey = v.pipe(text, v.check(isRecipeKey, 'is no key of a recipe'));
const count = v.pipe(v.number(), v.integer(), v.minValue(1));

const SweepRecordSchema = v.object({
  version: v.literal(1),
  /** The recipe that is varied. */
  recipe: text,
  created: text,
  vary: v.pipe(
    v.array(v.object({ key: recipeKey, values: v.pipe(v.array(v.unknown()), v.minLength(1)) })),
    v.minLength(1),
    v.maxLength(MAX_SWEEP_RUNS),
  ),
  /** The target that the runs are sent to; null: this machine. */
  target: v.nullable(text),
  /** How many runs train at a time. */
  parallel: count,
  /** `values`: one for each key of `vary`. */
  runs: v.pipe(
    v.array(v.object({ recipe: recipeFile, name: text, values: v.array(v.unknown()) })),
    v.minLength(1),
    v.maxLength(MAX_SWEEP_RUNS),
  ),
});

/** sweep.json: what a sweep varies, and its runs in their order. */
export type SweepRecord = v.InferOutput<typeof SweepRecordSchema>;
/** A run of a sweep, by its recipe. */
export type SweepRun = SweepRecord['runs'][number];

/** Checks the content of sweep.json. @throws LoraError('run') */
export function parseSweep(value: unknown, file: string): SweepRecord {
  const { success, output, issues } = v.safeParse(SweepRecordSchema, value);
  if (success && output.runs.every(({ values }) => values.length === output.vary.length))
    return output;
  const issue = issues?.[0];
  const key = issue ? v.getDotPath(issue) : 'runs';
  const rule = issue ? ruleOf(issue) : 'lacks values';
  throw new LoraError('run', `This is not the file of a sweep: "${key ?? 'it'}" ${rule}.`, {
    place: { file },
  });
}
