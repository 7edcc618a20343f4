import { methodOfKeys } from '../../shared/objective';
import { BATCHES, PREFERENCE_BATCH } from '../../shared/usualBatch';
import type { ChosenDataset, TrainState } from '../setup/trainState';
import { usualRank } from '../../shared/usualRank';

/** The state with a dataset. The rank follows it unless the user has chosen another. */
export function ofDataset(state: TrainState, dataset: ChosenDataset): TrainState {
  const recommended = usualRank(dataset.rows);
  const r = state.r === state.recommended ? recommended : state.r;
  const isCompared = dataset.task === 'causal_lm' && methodOfKeys(dataset.keys) !== 'sft';
  const batch = isCompared ? PREFERENCE_BATCH : BATCHES[dataset.task];
  const base = { ...state.base!, batch };
  return { ...state, dataset, columns: {}, replay: null, base, r, recommended };
}
