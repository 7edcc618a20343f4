import { methodOfKeys } from '../../shared/objective';
import { BATCHES, PREFERENCE_BATCH } from '../../shared/usualBatch';
import { withAssumedImages, type BaseFacts } from '../setup/costs';
import type { ChosenDataset, TrainState } from '../setup/trainState';
import { usualRank } from '../../shared/usualRank';

/** The state with a dataset. The rank follows it unless the user has chosen another. */
export function ofDataset(state: TrainState, dataset: ChosenDataset): TrainState {
  const recommended = usualRank(dataset.rows);
  const r = state.r === state.recommended ? recommended : state.r;
  const isCompared = dataset.task === 'causal_lm' && methodOfKeys(dataset.keys) !== 'sft';
  const batch = isCompared ? PREFERENCE_BATCH : BATCHES[dataset.task];
  const base = { ...state.base!, batch: withAssumedImages(state.base!, batch) };
  return { ...state, dataset, columns: {}, replay: null, base, r, recommended };
}

/**
 * A dataset as a base reads it: a model for images and texts learns a folder of images by the names
 * of its classes, one that reads numbers learns the columns of any table, and an encoder-decoder
 * learns the answers to what its encoder reads.
 */
export function fitted(dataset: ChosenDataset, { tasks }: Pick<BaseFacts, 'tasks'>): ChosenDataset {
  const { task, images = false } = dataset;
  if (tasks.includes(task)) return dataset;
  if (images) return tasks.includes('contrastive') ? { ...dataset, task: 'contrastive' } : dataset;
  const isAnswered = task === 'causal_lm' && methodOfKeys(dataset.keys) === 'sft';
  if (isAnswered && tasks.includes('seq2seq_lm')) return { ...dataset, task: 'seq2seq_lm' };
  return tasks.includes('features') ? { ...dataset, task: 'features' } : dataset;
}
