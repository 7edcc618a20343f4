import { expect, test } from 'vitest';
import {
  CHART_IDS,
  CURVE_IDS,
  KEY_NUMBER_IDS,
  SCORE_NAMES,
  STEP_FIELDS,
} from '../../../../src/shared/metrics/table';
import { OVERLAY_METRICS } from '../../../../src/shared/pages/overlay/protocol';

test('the columns of files and pages are in the order of the table', () => {
  expect(STEP_FIELDS).toEqual([
    'step',
    'epoch',
    'loss',
    'grad_norm',
    'learning_rate',
    'tokens',
    'labelled_tokens',
    'tokens_per_second',
    'memory',
    'elapsed',
  ]);
  expect(SCORE_NAMES).toEqual([
    'perplexity',
    'calls_right',
    'calls_parsed',
    'calls_named',
    'calls_arguments',
    'accuracy',
    'f1',
    'rmse',
    'pearson',
    'cosine',
    'retrieval',
    'spearman',
    'ndcg_at_10',
    'mrr_at_10',
    'recall_at_10',
    'general_loss',
  ]);
});

test('charts, key numbers and the quantities of the overlay are in the same order', () => {
  const single = ['learning_rate', 'grad_norm', 'tokens_per_second', 'memory'];
  const compared = [
    'rewards',
    'reward_margin',
    'reward_accuracy',
    'logps',
    'kl',
    'teacher_kl',
    'expert_load',
  ];
  expect(CHART_IDS).toEqual(['loss', 'general', 'score', ...single, ...compared]);
  expect(CURVE_IDS).toEqual(['loss', 'smoothed', 'validation', ...single]);
  expect(KEY_NUMBER_IDS).toEqual(['loss', 'validation', ...single]);
  expect(OVERLAY_METRICS).toEqual(['validation', 'smoothed', 'loss', ...single]);
});
