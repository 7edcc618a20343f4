import { isObject } from '../../shared/values';
import {
  evalLine,
  inOrder,
  isStep,
  MAX_LOG_LINES,
  numberOr,
  stepLine,
  type ImportedLog,
} from './importedLog';
import { tooLong } from './tooLong';

/** The file that transformers' Trainer writes into each checkpoint. */
export const TRAINER_STATE = 'trainer_state.json';

/**
 * Reads trainer_state.json (transformers' TrainerState); null when it is not one.
 *
 * @throws LoraError for too many lines
 */
export function readTrainerState(state: unknown): ImportedLog | null {
  if (!isObject(state) || !Array.isArray(state['log_history'])) return null;
  const history: readonly unknown[] = state['log_history'];
  if (history.length > MAX_LOG_LINES) throw tooLong(MAX_LOG_LINES, 'lines');
  const lines = history.filter(isObject).flatMap((entry) => lineOf(entry) ?? []);
  if (lines.length === 0) return null;
  const total = state['max_steps'];
  const settings = {
    num_train_epochs: state['num_train_epochs'],
    per_device_train_batch_size: state['train_batch_size'],
    eval_steps: state['eval_steps'],
    save_steps: state['save_steps'],
  };
  const isSetting = (value: unknown) => numberOr(value, 0) > 0;
  return {
    program: 'transformers',
    lines: inOrder(lines),
    started: null,
    total_steps: isStep(total) && total > 0 ? total : null,
    training: Object.fromEntries(
      Object.entries(settings).filter((entry): entry is [string, number] => isSetting(entry[1])),
    ),
  };
}

function lineOf(entry: Readonly<Record<string, unknown>>) {
  const { step, loss, eval_loss } = entry;
  if (!isStep(step)) return null;
  if (typeof eval_loss === 'number') return evalLine(step, eval_loss);
  if (typeof loss !== 'number') return null;
  return stepLine({
    ...{ step, loss },
    epoch: numberOr(entry['epoch'], NaN),
    grad_norm: numberOr(entry['grad_norm'], NaN),
    learning_rate: numberOr(entry['learning_rate'], NaN),
  });
}
