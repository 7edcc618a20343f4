import { expect, it } from 'vitest';
import type { Batch } from '../../../../src/data/examples/batch';
import { ContrastiveScorer } from '../../../../src/engine/tasks/contrastiveScores';

/** Pairs of vectors of two numbers; texts are told apart by their ids. */
function batchOf(ids: readonly number[]): Batch {
  return {
    batch: ids.length,
    length: 2,
    input_ids: Int32Array.from(ids.flatMap((id) => [id, 0])),
  } as unknown as Batch;
}

const outputs = (images: readonly number[], texts: readonly number[]) =>
  Float32Array.from([...images, ...texts]);

it('an image is compared with the different texts of all batches', () => {
  const scorer = new ContrastiveScorer();
  scorer.add(batchOf([1, 2]), outputs([3, 0, 0, 1], [1, 0, 0, 5]));
  // the second image of text 1 is nearer to text 2
  scorer.add(batchOf([1]), outputs([1, 2], [1, 0]));
  expect(scorer.scores()).toEqual({
    accuracy: 2 / 3,
    retrieval: 1,
    mrr_at_10: (1 + 1 + 1 / 2) / 3,
    recall_at_10: 1,
  });
});

it('equal vectors find nothing', () => {
  const scorer = new ContrastiveScorer();
  scorer.add(batchOf([1, 2]), outputs([1, 1, 1, 1], [1, 1, 1, 1]));
  expect(scorer.scores()).toEqual({
    accuracy: 0,
    retrieval: 0,
    mrr_at_10: 1 / 2,
    recall_at_10: 1,
  });
});
