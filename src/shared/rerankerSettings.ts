import * as v from 'valibot';
import { described } from './schemaParts';

/** The choices for reranker.loss, named as in sentence-transformers. */
export const RERANKER_LOSSES = [
  'BinaryCrossEntropyLoss',
  'MSELoss',
  'ListNetLoss',
  'RankNetLoss',
] as const;
export type RerankerLoss = (typeof RERANKER_LOSSES)[number];

/** Whether a loss compares the documents of one row with each other. */
export const needsLists = (loss: RerankerLoss): boolean =>
  loss === 'ListNetLoss' || loss === 'RankNetLoss';

/** The recipe's `reranker`. */
export const RerankerSchema = v.strictObject({
  loss: v.optional(
    described(
      v.nullable(v.picklist(RERANKER_LOSSES)),
      'BinaryCrossEntropyLoss: scores from 0 to 1. MSELoss: any scores. Both are for rows with one ' +
        'document. ListNetLoss, RankNetLoss: the order of the documents of a row. null: ' +
        'BinaryCrossEntropyLoss for rows with one document, else ListNetLoss.',
    ),
    null,
  ),
});

/** How a reranker is trained. */
export type RerankerSettings = v.InferOutput<typeof RerankerSchema>;
