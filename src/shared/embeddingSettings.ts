import * as v from 'valibot';
import { described, int, nonNegative, positive } from './schemaParts';

/** The choices for embedding.loss, named as in sentence-transformers. */
export const EMBEDDING_LOSSES = [
  'MultipleNegativesRankingLoss',
  'CosineSimilarityLoss',
  'CoSENTLoss',
  'OnlineContrastiveLoss',
  'TripletLoss',
] as const;
export type EmbeddingLoss = (typeof EMBEDDING_LOSSES)[number];

/** Whether a loss compares the cosines of pairs with the rows' scores. */
export const needsScores = (loss: EmbeddingLoss): boolean =>
  loss !== 'MultipleNegativesRankingLoss' && loss !== 'TripletLoss';

/** The choices for embedding.triplet_distance. */
export const TRIPLET_DISTANCES = ['euclidean', 'cosine'] as const;

/** The recipe's `embedding`. */
export const EmbeddingSchema = v.strictObject({
  loss: v.optional(
    described(
      v.nullable(v.picklist(EMBEDDING_LOSSES)),
      'MultipleNegativesRankingLoss: the positive must be nearer than the other texts of the ' +
        'batch and the hard negatives. CosineSimilarityLoss, CoSENTLoss: cosines follow the ' +
        'scores. OnlineContrastiveLoss: scores of 1 and 0, the hardest pairs only. TripletLoss: ' +
        'the positive must be nearer than the one negative by triplet_margin. null: ' +
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
      'OnlineContrastiveLoss: the distance (1 - cosine) beyond which unrelated texts cause no loss.',
    ),
    0.5,
  ),
  triplet_margin: v.optional(
    described(
      nonNegative(),
      'TripletLoss: by how much the negative must be farther than the positive. The cosine distance is at most 2, so choose less for it.',
    ),
    5,
  ),
  triplet_distance: v.optional(
    described(
      v.picklist(TRIPLET_DISTANCES),
      'TripletLoss: euclidean, computed before vectors are scaled to length 1 (after it for shortened vectors); cosine: 1 - cosine.',
    ),
    'euclidean',
  ),
  matryoshka_dims: v.optional(
    described(
      v.nullable(v.pipe(v.array(int(1)), v.minLength(1, 'must name at least one size'))),
      'MatryoshkaLoss: the loss is the sum of the losses over the first 384, 128 and 32 values of each vector for [384, 128, 32], so that shortened vectors work, too. null: whole vectors only.',
    ),
    null,
  ),
  matryoshka_weights: v.optional(
    described(
      v.nullable(v.array(positive())),
      'Weights of the losses of matryoshka_dims. null: 1 each.',
    ),
    null,
  ),
});

/** How an embedding model is trained. */
export type EmbeddingSettings = v.InferOutput<typeof EmbeddingSchema>;

/** The recipe's defaults. */
export const DEFAULT_EMBEDDING: EmbeddingSettings = v.parse(EmbeddingSchema, {});
