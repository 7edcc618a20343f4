import * as v from 'valibot';
import { CHECK_KINDS, EVALUATION_METRIC_IDS } from '../../evaluation/metrics';
import { OUTCOMES } from '../../evaluation/outcome';
import { EvaluationSchema } from '../../evaluation/result';
import { parsed } from '../../parsed';

// The messages between the page that shows an evaluation and its host. Both ends check them.

const text = v.string();
const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const number = v.pipe(v.number(), v.finite());

const TurnSchema = v.object({ role: text, text });
export type EvaluatedTurn = v.InferOutput<typeof TurnSchema>;

/** The answer of a column in the list, shortened. `outcome`: beside that of the first column. */
const BriefCellSchema = v.object({
  text,
  metric: v.picklist(EVALUATION_METRIC_IDS),
  score: v.nullable(number),
  isError: v.boolean(),
  outcome: v.nullable(v.picklist(OUTCOMES)),
  isRegression: v.boolean(),
});
export type BriefCell = v.InferOutput<typeof BriefCellSchema>;

/** A row in the list; `question` is shortened. */
const BriefRowSchema = v.object({
  index,
  suite: text,
  line: index,
  question: text,
  cells: v.array(BriefCellSchema),
});
export type BriefRow = v.InferOutput<typeof BriefRowSchema>;

/** `calls`: the called tools, as JSON; `reason`: why the answer is not right. */
const AnswerSchema = v.object({
  text,
  calls: text,
  error: v.nullable(text),
  reason: text,
  scores: v.array(v.object({ metric: v.picklist(EVALUATION_METRIC_IDS), value: number })),
  outcome: v.nullable(v.picklist(OUTCOMES)),
  isRight: v.boolean(),
});
export type OpenedAnswer = v.InferOutput<typeof AnswerSchema>;

/** A row in full, with the answer of each column. */
const OpenedRowSchema = v.object({
  index,
  suite: text,
  file: text,
  line: index,
  kind: v.picklist(CHECK_KINDS),
  turns: v.array(TurnSchema),
  expected: text,
  answers: v.array(AnswerSchema),
});
export type OpenedRow = v.InferOutput<typeof OpenedRowSchema>;

const CHOICES = ['left', 'right', 'tie'] as const;
export type VoteChoice = (typeof CHOICES)[number];

/** Two answers without names. `done` of `total` pairs have a vote; `id`: what a vote names. */
const BallotSchema = v.object({
  id: index,
  done: index,
  total: index,
  turns: v.array(TurnSchema),
  expected: text,
  left: text,
  right: text,
  canUndo: v.boolean(),
});
export type Ballot = v.InferOutput<typeof BallotSchema>;

const RatingSchema = v.object({
  column: index,
  rating: number,
  low: number,
  high: number,
  wins: index,
  ties: index,
  losses: index,
});

/**
 * What the votes come to. `pairs`: how many there are to vote on, without those whose answers are
 * `equal`; `agreement`: with the judge, on the pairs that both have compared.
 */
const RatingsSchema = v.object({
  votes: index,
  pairs: index,
  equal: index,
  ratings: v.array(RatingSchema),
  agreement: v.nullable(v.object({ votes: index, agreed: index })),
});
export type VoteRatings = v.InferOutput<typeof RatingsSchema>;

/** From the host. */
export const EvaluationHostMessageSchema = v.variant('kind', [
  /** `name`: of the evaluation's run or suites; the rows follow. */
  v.object({ kind: v.literal('evaluation'), name: text, evaluation: EvaluationSchema }),
  /** Some of the rows, in their order; `from` 0 begins anew. */
  v.object({
    kind: v.literal('rows'),
    from: index,
    rows: v.array(BriefRowSchema),
    isComplete: v.boolean(),
  }),
  v.object({ kind: v.literal('row'), row: v.nullable(OpenedRowSchema) }),
  /** The rows whose texts contain what was searched for. */
  v.object({ kind: v.literal('found'), text, rows: v.array(index) }),
  /** Null: voting has ended. */
  v.object({ kind: v.literal('ballot'), ballot: v.nullable(BallotSchema) }),
  /** Null: there are no votes. */
  v.object({ kind: v.literal('ratings'), ratings: v.nullable(RatingsSchema) }),
  v.object({ kind: v.literal('said'), message: text, isError: v.boolean() }),
  v.object({ kind: v.literal('fault'), message: text }),
]);
export type EvaluationHostMessage = v.InferOutput<typeof EvaluationHostMessageSchema>;

/** What an evaluation can be saved as. */
export const EXPORT_FORMATS = ['html', 'markdown', 'csv'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];

/** From the page. */
const PageMessageSchema = v.variant('kind', [
  v.object({ kind: v.literal('ready') }),
  v.object({ kind: v.literal('open'), row: v.nullable(index) }),
  v.object({ kind: v.literal('find'), text }),
  v.object({ kind: v.literal('startVoting') }),
  v.object({ kind: v.literal('vote'), id: index, choice: v.picklist(CHOICES) }),
  v.object({ kind: v.literal('skip'), id: index }),
  v.object({ kind: v.literal('undoVote') }),
  v.object({ kind: v.literal('endVoting') }),
  v.object({ kind: v.literal('export'), format: v.picklist(EXPORT_FORMATS) }),
  v.object({ kind: v.literal('again') }),
  v.object({ kind: v.literal('openFile'), row: index }),
  v.object({ kind: v.literal('trouble'), message: text }),
]);
export type EvaluationPageMessage = v.InferOutput<typeof PageMessageSchema>;

/** Which rows are listed. Wins, losses and regressions are those against the first column. */
export const EVALUATION_FILTERS = ['all', 'wins', 'losses', 'regressions', 'errors'] as const;
export type EvaluationFilter = (typeof EVALUATION_FILTERS)[number];

/** What VS Code keeps of the page through reloads. `column`: null for any. */
const PageStateSchema = v.object({
  folder: text,
  filter: v.optional(v.picklist(EVALUATION_FILTERS), 'all'),
  suite: v.optional(v.nullable(text), null),
  column: v.optional(v.nullable(index), null),
});
export type EvaluationPageState = v.InferOutput<typeof PageStateSchema>;

/** These return undefined for values that do not fit. */
export const asEvaluationPageMessage = parsed(PageMessageSchema);
export const asEvaluationPageState = parsed(PageStateSchema);
