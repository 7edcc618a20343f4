import * as v from 'valibot';
import { described, int, nonNegative, positive } from './schemaParts';

/** The choices for embedding.loss, by the names of sentence-transformers. */
export const EMBEDDING_LOSSES = [
  'MultipleNegativesRankingLoss',
  'CosineSimilarityLoss',
  'CoSENTLoss',
  'OnlineContrastiveLoss',
] as const;
export type EmbeddingLoss = (typeof EMBEDDING_LOSSES)[number];

/** Whether a loss compares the cosines of pairs with the rows' scores. */
export const needsScores = (loss: EmbeddingLoss): boolean =>
  loss !== 'MultipleNegativesRankingLoss';

/** The recipe's `embedding`. */
export const EmbeddingSchema = v.strictObject({
  loss: v.optional(
    described(
      v.nullable(v.picklist(EMBEDDING_LOSSES)),
      'MultipleNegativesRankingLoss: the positive must be nearer than the other texts of the ' +
        'batch and the hard negatives. CosineSimilarityLoss, CoSENTLoss: cosines follow the ' +
        'scores. OnlineContrastiveLoss: scores of 1 and 0, the hardest pairs only. null: ' +
        'CosineSimilarityLoss for rows with scores, else MultipleNegativesRankingLoss.',
    ),
    null,
  ),
  scale: v.optional(
    described(
      positive(),
      'Factor of the cosines in MultipleNegativesRankingLoss and CoSENTLoss (1 / temperature).',
    ),
    20,
  ),
  margin: v.optional(
    described(
      nonNegative(),
      'OnlineContrastiveLoss: the distance (1 - cosine) from which unrelated texts are far enough.',
    ),
    0.5,
  ),
  matryoshka_dims: v.optional(
    described(
      v.nullable(v.pipe(v.array(int(1)), v.minLength(1, 'must name at least one size'))),
      'MatryoshkaLoss: the loss is the sum of those of the first numbers of each vector, such as ' +
        '[384, 128, 32], so that shortened vectors work, too. null: whole vectors only.',
    ),
    null,
  ),
  matryoshka_weights: v.optional(
    described(
      v.nullable(v.array(positive())),
      'Factors of the losses of matryoshka_dims. null: 1 each.',
    ),
    null,
  ),
});

/** How an embedding model is trained. */
export type EmbeddingSettings = v.InferOutput<typeof EmbeddingSchema>;

/** The recipe's defaults. */
export const DEFAULT_EMBEDDING: EmbeddingSettings = v.parse(EmbeddingSchema, {});
