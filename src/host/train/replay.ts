import { notify } from '../ui/messages';
import type { ChosenDataset, TrainState } from '../setup/trainState';
import { replayAmount, type ReplaySource } from '../setup/recipeSources';
import { methodOfKeys } from '../../shared/objective';
import { formatNumber, t } from '../text/l10n';
import { namedDataset } from './answers';
import { languageForms, pickColumns, unknownColumns } from './columnsStep';
import { pickDataset, type DatasetQuestion } from './datasetStep';

/** Whether other examples can be mixed in: those of a language model that learns answers. */
export const takesReplay = ({ dataset }: TrainState): boolean =>
  dataset?.task === 'causal_lm' && methodOfKeys(dataset.keys) === 'sft';

/** Why other examples are offered. */
export const replayReason = (): string =>
  t('Training on new examples can make a model forget: mixing in general examples reduces this.');

/** Asks for general examples to mix in. Undefined: as before. */
export async function askReplay(
  state: TrainState,
  question: DatasetQuestion,
): Promise<ReplaySource | undefined> {
  const own = state.dataset!;
  for (;;) {
    const picked = await pickDataset(question, {
      frame: { title: t('Train Adapter: General Examples'), first: false },
      placeholder: replayReason(),
      chosen: state.replay?.path,
      fits: ({ task, path }) => task === 'causal_lm' && path !== own.path,
    });
    if (picked.kind !== 'picked') return undefined;
    const source = await sourceOf(picked.value, own, question);
    if (source) return source;
  }
}

/** Undefined: the user went back, or it holds nothing that fits. */
async function sourceOf(
  other: ChosenDataset,
  own: ChosenDataset,
  { inspections }: DatasetQuestion,
): Promise<ReplaySource | undefined> {
  const amount = replayAmount(own.rows, other.rows);
  if (other.path === own.path || other.task !== 'causal_lm' || methodOfKeys(other.keys) !== 'sft') {
    void notify(
      'warning',
      t('{0} has no other rows that are learned in the same way.', other.name),
    );
    return undefined;
  }
  const facts = await unknownColumns(other, inspections);
  if (!facts) return { ...namedDataset(other), amount, columns: {} };
  const answer = await pickColumns(facts, languageForms(), false);
  if (answer.kind !== 'picked') return undefined;
  return { ...namedDataset(other), amount, columns: answer.value.names };
}

/** What is drawn of a source of general examples. */
export const amountText = ({ amount }: ReplaySource): string =>
  'weight' in amount
    ? t('weight {0}', formatNumber(amount.weight))
    : t('{0} {0|row|rows}', formatNumber(amount.rows));
