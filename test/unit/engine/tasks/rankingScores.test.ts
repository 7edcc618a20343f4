import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Batch } from '../../../../src/data/examples/batch';
import { rankingScores, RankingScorer } from '../../../../src/engine/tasks/rankingScores';

interface Ranked {
  readonly outputs: readonly number[];
  readonly binary: readonly number[];
  readonly graded: readonly number[];
  readonly mrr: number;
  readonly ndcg: number;
  readonly graded_ndcg: number;
}

const cases = JSON.parse(
  readFileSync('test/fixtures/rerankers/metrics.json', 'utf8'),
) as readonly Ranked[];

it.each(cases)('scores are those of sentence-transformers and scikit-learn: %#', (own) => {
  const rated = (scores: readonly number[]) =>
    scores.map((score, i) => ({ score, output: own.outputs[i]! }));
  const binary = rankingScores([rated(own.binary)]);
  expect(binary.mrr_at_10).toBeCloseTo(own.mrr, 10);
  expect(binary.ndcg_at_10).toBeCloseTo(own.ndcg, 10);
  expect(rankingScores([rated(own.graded)]).ndcg_at_10).toBeCloseTo(own.graded_ndcg, 10);
});

it('recall is the share of relevant documents among the first ten', () => {
  const documents = Array.from({ length: 12 }, (_, i) => ({
    score: i === 0 || i === 11 ? 1 : 0.25,
    output: -i,
  }));
  expect(rankingScores([documents]).recall_at_10).toBe(0.5);
});

it('equal outputs put no relevant document first, and negative scores are gains from the lowest', () => {
  const equal = [1, 0].map((score) => ({ score, output: 3 }));
  expect(rankingScores([equal]).mrr_at_10).toBe(0.5);
  const negative = [-1, -3].map((score) => ({ score, output: score }));
  expect(rankingScores([negative])).toEqual({ ndcg_at_10: 1, mrr_at_10: 1, recall_at_10: 1 });
});

it('documents of the same query in other batches are put in order together', () => {
  const scorer = new RankingScorer();
  const batch = (labels: readonly number[], queries: readonly number[]) =>
    ({
      labels: Float32Array.from(labels),
      ranking: { queries: Int32Array.from(queries), groups: null },
    }) as unknown as Batch;
  scorer.add(batch([1, 0], [7, 8]), Float32Array.of(0, 1));
  scorer.add(batch([0], [7]), Float32Array.of(2));
  const { mrr_at_10, pearson, spearman } = scorer.scores();
  expect(mrr_at_10).toBe(0.5);
  expect(pearson).toBeLessThan(0);
  expect(spearman).toBeLessThan(0);
});

it('rows of which no query has two different scores have no order', () => {
  expect(
    rankingScores([[{ score: 1, output: 0 }], [1, 1].map((score) => ({ score, output: 0 }))]),
  ).toEqual({});
});
