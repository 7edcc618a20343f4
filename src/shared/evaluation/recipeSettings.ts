import * as v from 'valibot';
import { described, int, path } from '../schemaParts';

const MOST_SUITES = 100;

/** The recipe's `evaluate`. */
export const EvaluateSchema = v.strictObject({
  suites: v.optional(
    described(
      v.pipe(v.array(path()), v.maxLength(MOST_SUITES, `must name at most ${MOST_SUITES} suites`)),
      'Files of questions with checks (evals.jsonl) that the base and the adapter answer at the end ' +
        'of the training. The score is in the history of runs, the answers in evaluation/ in the ' +
        "run's folder. Rows of the kind judge are refused: use lora evaluate.",
    ),
    [],
  ),
  forgetting: v.optional(
    described(
      v.boolean(),
      'Measure what a language model forgets: its loss on 50 rows of general text and chat at each ' +
        'evaluation, and at the end its answers to 103 questions. Needs a validation set.',
    ),
    false,
  ),
  max_new_tokens: v.optional(
    described(int(1), 'Maximum length of an answer in tokens, for rows that do not set their own.'),
    256,
  ),
});

/** What is evaluated beside the validation set. */
export type EvaluateSettings = v.InferOutput<typeof EvaluateSchema>;
