import { describe, expect, it } from 'vitest';
import type { LabelSet } from '../../../../src/data/tasks/labelSet';
import type { Batch } from '../../../../src/data/examples/batch';
import { entitiesOf, isEntityScheme } from '../../../../src/engine/tasks/entities';
import { labelText } from '../../../../src/engine/tasks/predict';
import { ranksOf } from '../../../../src/engine/tasks/correlation';
import { scorerOf } from '../../../../src/engine/tasks/scores';
import type { Task } from '../../../../src/shared/task';

const batch = (labels: readonly number[], rows: number, length = 1): Batch => ({
  batch: rows,
  length,
  input_ids: new Int32Array(rows * length),
  attention_mask: new Int32Array(rows * length).fill(1),
  labels: Float32Array.from(labels),
});
/** The scores of one batch for a mean loss of 4. */
const scores = (
  task: Task,
  labels: LabelSet | null,
  examples: Batch,
  outputs: readonly number[],
) => {
  const scorer = scorerOf(task, labels);
  scorer.add(examples, Float32Array.from(outputs));
  return scorer.scores(4);
};
const single: LabelSet = { problem_type: 'single_label_classification', names: ['a', 'b', 'c'] };

describe('the scores of a validation set', () => {
  it('of text are the perplexity', () => {
    expect(scorerOf('causal_lm', null).scores(Math.log(7)).perplexity).toBeCloseTo(7);
  });

  // Truth a a b b, predicted a b b b. F1 of a: 2/3, of b: 4/5; c neither occurs nor is predicted.
  it('of classes are the accuracy, and the mean F1 of the classes that occur', () => {
    const { accuracy, f1 } = scores(
      'seq_cls',
      single,
      batch([0, 0, 1, 1], 4),
      [9, 0, 0, 0, 9, 0, 0, 9, 0, 0, 9, 0],
    );
    expect(accuracy).toBe(0.75);
    expect(f1).toBeCloseTo((2 / 3 + 4 / 5) / 2);
  });

  // Truth {a} {a, b}, predicted {a} {b}: 2 correct of 2 predicted and 3 actual labels; 1 of 2 rows.
  it('of several labels are the accuracy of whole rows, and F1 over all labels', () => {
    const { accuracy, f1 } = scores(
      'seq_cls',
      { ...single, problem_type: 'multi_label_classification' },
      batch([1, 0, 0, 1, 1, 0], 2),
      [1, -1, -1, -1, 1, -1],
    );
    expect(accuracy).toBe(0.5);
    expect(f1).toBeCloseTo((2 * 2) / (2 + 3));
  });

  it('of numbers are the root mean square error, and the correlation if it is defined', () => {
    const number: LabelSet = { problem_type: 'regression', names: ['value'] };
    expect(scores('seq_cls', number, batch([1, 2, 3], 3), [2, 4, 6])).toEqual({
      rmse: 2,
      pearson: expect.closeTo(1) as number,
    });
    expect(scores('seq_cls', number, batch([1, 1], 2), [2, 4])).toEqual({ rmse: 2 });
  });

  it('of entities count whole entities, like seqeval', () => {
    const tags: LabelSet = {
      problem_type: 'single_label_classification',
      names: ['B-P', 'I-P', 'O'],
    };
    const logits = (...classes: number[]) =>
      classes.flatMap((index) => [0, 1, 2].map((i) => (i === index ? 9 : 0)));
    const { accuracy, f1 } = scores(
      'token_cls',
      tags,
      batch([0, 1, 2, 0, -100], 1, 5),
      logits(0, 2, 2, 0, 0),
    );
    expect(accuracy).toBe(0.75);
    expect(f1).toBe(0.5);
    expect(isEntityScheme(tags.names)).toBe(true);
    expect(isEntityScheme(['NOUN', 'VERB', 'O'])).toBe(false);
    expect([...entitiesOf(['B-P', 'I-P', 'B-P', 'I-Q', 'O', 'I-Q', 'I-Q'])]).toEqual([
      'P 0 1',
      'P 2 2',
      'Q 3 3',
      'Q 5 6',
    ]);
  });

  it('of pairs are their cosine, and how often the partner is the nearest text', () => {
    // Anchors (1, 0) and (0, 2), positives (3, 0) and (1, 0): no anchor's partner is nearer than
    // the other text.
    expect(scores('embedding', null, batch([], 4), [1, 0, 0, 2, 3, 0, 1, 0])).toEqual({
      cosine: 0.5,
      retrieval: 0,
      // the other text is as near
      ndcg_at_10: 1 / Math.log2(3),
      mrr_at_10: 0.5,
      recall_at_10: 1,
    });
    expect(scores('embedding', null, batch([], 4), [1, 0, 0, 2, 3, 0, 0, 1])).toEqual({
      cosine: 1,
      retrieval: 1,
      ndcg_at_10: 1,
      mrr_at_10: 1,
      recall_at_10: 1,
    });
  });
});

describe('the scores of pairs', () => {
  const found = (input: object, outputs: number[]) => {
    const scorer = scorerOf('embedding', null);
    scorer.add({ ...batch([], 0), ...input }, Float32Array.from(outputs));
    return scorer.scores(0);
  };

  it('rank a partner behind hard negatives that are nearer', () => {
    // one row: its anchor, its positive, and eleven negatives of which `nearer` are nearer
    const at = (nearer: number) => {
      const negatives = Array.from({ length: 11 }, (_, i) => (i < nearer ? [1, 0.1] : [0, 1]));
      return found({ batch: 13, columns: 13 }, [1, 0, 1, 0.5, ...negatives.flat()]);
    };
    expect(at(0)).toMatchObject({ mrr_at_10: 1, ndcg_at_10: 1, recall_at_10: 1 });
    expect(at(2)).toMatchObject({ mrr_at_10: 1 / 3, ndcg_at_10: 0.5, recall_at_10: 1 });
    expect(at(10)).toMatchObject({ mrr_at_10: 0, ndcg_at_10: 0, recall_at_10: 0 });
  });

  it('are correlations where the rows have scores', () => {
    const vectors = [1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 1];
    const labels = Float32Array.of(0.9, 0.5, 0.1);
    const { cosine, pearson, spearman, ...others } = found({ batch: 6, labels }, vectors);
    expect(cosine).toBeCloseTo((1 + Math.SQRT1_2) / 3, 6);
    expect(spearman).toBeCloseTo(1, 10);
    expect(pearson).toBeGreaterThan(0.9);
    expect(others).toEqual({});
  });

  it('share the rank of equal values', () =>
    expect(ranksOf([3, 1, 3, 2])).toEqual([3.5, 1, 3.5, 2]));
});

it('predictions are shown as text', () => {
  expect(labelText(Float32Array.of(0, Math.log(8), 0), single)).toBe('b (80%)');
  expect(
    labelText(Float32Array.of(-1, 0, -2), {
      ...single,
      problem_type: 'multi_label_classification',
    }),
  ).toBe('–');
  expect(
    labelText(Float32Array.of(20, -1, 20), {
      ...single,
      problem_type: 'multi_label_classification',
    }),
  ).toBe('a (100%), c (100%)');
  expect(
    labelText(Float32Array.of(0.12345), { problem_type: 'regression', names: ['value'] }),
  ).toBe('0.1235');
});
