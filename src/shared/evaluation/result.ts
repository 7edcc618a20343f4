import * as v from 'valibot';
import { parsed } from '../parsed';
import { EVALUATION_METRIC_IDS } from './metrics';
import { SuiteRowSchema } from './suite';

// An evaluation is a folder:
//
//   evaluation.json   `Evaluation`: columns, scores, differences; written at the end
//   rows.jsonl        `EvaluatedRow`, one a line: the row with the cell of each column
//   votes.jsonl       `Vote`, one a line: written by the page alone (votes.ts)
//
// It is .lora/evaluations/<id>/ beside the suite (`lora evaluate --suite`), or evaluation/ in the
// folder of a run whose recipe has "evaluate". <id> is made as that of a run: `newRunId`.

/** The folder of evaluations, relative to that of the suite's file or of the recipe. */
export const EVALUATIONS_FOLDER = '.lora/evaluations';

/** Names in the folder of an evaluation. */
export const EVALUATION_FILES = {
  record: 'evaluation.json',
  rows: 'rows.jsonl',
  votes: 'votes.jsonl',
} as const;

/** The folder of the evaluation at the end of a training run, in that of the run. */
export const RUN_EVALUATION = 'evaluation';

const number = () => v.pipe(v.number(), v.finite());
const count = () => v.pipe(v.number(), v.integer(), v.minValue(0));
const metric = () => v.picklist(EVALUATION_METRIC_IDS);

const ColumnSchema = v.variant('kind', [
  v.object({ kind: v.literal('base'), name: v.string() }),
  /** An adapter's folder or file. */
  v.object({ kind: v.literal('adapter'), name: v.string(), path: v.string() }),
  /** A checkpoint of a run, by its folder. */
  v.object({ kind: v.literal('checkpoint'), name: v.string(), path: v.string() }),
  /** An OpenAI-compatible server, by the address that ends in /v1. */
  v.object({
    kind: v.literal('endpoint'),
    name: v.string(),
    url: v.string(),
    model: v.string(),
  }),
]);
/** What is evaluated. Names are unique in an evaluation. */
export type EvaluationColumn = v.InferOutput<typeof ColumnSchema>;

const IntervalSchema = v.object({ low: number(), high: number() });
/** A bootstrap interval, of the confidence that the evaluation names. */
export type Interval = v.InferOutput<typeof IntervalSchema>;

/**
 * `better` and `worse` than the first column: the interval of the difference excludes 0, and enough
 * rows differ (verdict.ts). `equal`: all rows have the same score. `unclear`: not enough rows to
 * tell.
 */
export const VERDICTS = ['better', 'worse', 'equal', 'unclear'] as const;
export type Verdict = (typeof VERDICTS)[number];

const DifferenceSchema = v.object({
  /** Index of the column that is compared with the first. */
  column: count(),
  /** Its value less that of the first column, over the rows that both have. */
  difference: number(),
  /** Null: fewer than two rows. */
  interval: v.nullable(IntervalSchema),
  verdict: v.picklist(VERDICTS),
  /** Rows that are better, worse or the same as in the first column. */
  wins: count(),
  losses: count(),
  ties: count(),
});
/** A column against the first one, by a paired bootstrap over rows. */
export type Difference = v.InferOutput<typeof DifferenceSchema>;

const ColumnValueSchema = v.object({
  /** Null: no row has a score. */
  value: v.nullable(number()),
  interval: v.nullable(IntervalSchema),
  /** Rows with a score, and with an error. */
  rows: count(),
  errors: count(),
});
export type ColumnValue = v.InferOutput<typeof ColumnValueSchema>;

const ScoreSchema = v.object({
  /** Of the rows; null: all suites together (the metric is then null, too). */
  suite: v.nullable(v.string()),
  /** Null: the total score, from 0 to 1. */
  metric: v.nullable(metric()),
  /** One for each column. */
  columns: v.array(ColumnValueSchema),
  /** One for each column but the first. */
  differences: v.array(DifferenceSchema),
});
/** A number of a suite for each column. */
export type EvaluationScore = v.InferOutput<typeof ScoreSchema>;

const JudgeReportSchema = v.object({
  model: v.string(),
  /** Pairs that were asked for, in both orders. */
  pairs: count(),
  /** Pairs whose verdict changed with the order: they count as ties. */
  flipped: count(),
  /** Answers of the judge that named no winner. Their pairs are left out. */
  nonsense: count(),
  /** Against the user's votes on the same pairs; null: there are none. */
  agreement: v.nullable(
    v.object({ votes: count(), agreed: count(), interval: v.nullable(IntervalSchema) }),
  ),
});
export type JudgeReport = v.InferOutput<typeof JudgeReportSchema>;

export const EvaluationSchema = v.object({
  version: v.literal(1),
  id: v.string(),
  /** ISO 8601. */
  created: v.string(),
  /** Null: only endpoints. */
  base: v.nullable(v.string()),
  /** The suites' files. */
  suites: v.array(v.string()),
  columns: v.array(ColumnSchema),
  rows: count(),
  settings: v.object({
    /** 0: always the most likely token. */
    temperature: number(),
    seed: count(),
    max_new_tokens: count(),
    /** Of all intervals, such as 0.95. */
    confidence: number(),
    /** Resamples of the bootstrap. */
    resamples: count(),
  }),
  /** The total score first, then each suite with each of its metrics. */
  scores: v.array(ScoreSchema),
  judge: v.nullable(JudgeReportSchema),
  seconds: number(),
});
/** evaluation.json */
export type Evaluation = v.InferOutput<typeof EvaluationSchema>;

/** evaluation.json; undefined if it is not valid. */
export const asEvaluation = parsed(EvaluationSchema);

const CellSchema = v.object({
  /** The answer without reasoning; of a choice or label, the one that was chosen. */
  answer: v.string(),
  /** The tools that were called, as JSON of a list; '' for none. */
  calls: v.optional(v.string(), ''),
  /** By metrics that have a value for one row (all but f1); empty with an error. */
  scores: v.record(v.string(), number()),
  /** Why there is no score. */
  error: v.nullable(v.string()),
  /** Why an answer is not right, where that is not plain: "the key \"b\" is missing". */
  reason: v.optional(v.string(), ''),
  /** Of perplexity: the loss in nats, summed over this many tokens. */
  loss: v.optional(v.object({ sum: number(), tokens: count() })),
  seconds: v.optional(number(), 0),
});
/** The answer of a column to a row. */
export type EvaluatedCell = v.InferOutput<typeof CellSchema>;

const EvaluatedRowSchema = v.object({
  /** From 0, over all suites. */
  index: count(),
  /** Its name with the default filled in. */
  suite: v.string(),
  /** Where it stands. */
  file: v.string(),
  line: count(),
  row: SuiteRowSchema,
  /** One for each column. */
  cells: v.array(CellSchema),
});
/** A line of rows.jsonl. */
export type EvaluatedRow = v.InferOutput<typeof EvaluatedRowSchema>;

/** A line of rows.jsonl; undefined if it is not valid. */
export const asEvaluatedRow = parsed(EvaluatedRowSchema);

const RunScoreSchema = v.object({
  /** The total score of the trained model; null: no row counts in it. */
  score: v.nullable(number()),
  /** The same of the base. */
  base: v.nullable(number()),
  /** Null: there is no total score. */
  verdict: v.nullable(v.picklist(VERDICTS)),
  rows: count(),
});
/** `result.evaluation` in run.json: the evaluation whose folder is evaluation/ in the run's. */
export type RunScore = v.InferOutput<typeof RunScoreSchema>;

export const asRunScore = parsed(RunScoreSchema);
