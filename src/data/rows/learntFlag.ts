import { plainNumber } from '../../shared/exactValues';
import { kindOf } from './describe';
import type { RowReport } from './rowReport';

type Item = Readonly<Record<string, unknown>>;

/** The keys by which formats say whether a message is learned, and the value that says it is. */
const FLAGS: Readonly<Record<string, boolean>> = {
  weight: true,
  train: true,
  training: true,
  trainable: true,
  loss: true,
  loss_weight: true,
  loss_scale: true,
  masked: false,
};
/** Keys that mark parts of a message, or whose values differ in meaning between formats. */
const REFUSED: readonly string[] = ['train_detail', 'training_detail', 'loss_mask', 'mask'];

/** Keys of messages that say what is learned. */
export const FLAG_KEYS: ReadonlySet<string> = new Set([...Object.keys(FLAGS), ...REFUSED]);

/**
 * Whether a message is learned, as far as it says so itself: "weight": 0, "train": false and so on.
 * Undefined: it does not say. Null: what it says is not supported, which is reported.
 */
export function learntFlag(item: Item, key: string, report: RowReport): boolean | undefined | null {
  const refused = REFUSED.find((name) => item[name] !== undefined && item[name] !== null);
  if (refused !== undefined)
    return report.error(
      `"${refused}" is not supported: mark whole messages, with "weight": 0 for those that are not learned.`,
      `${key}.${refused}`,
    );
  const said = Object.entries(FLAGS).flatMap(([name, learnt]) => {
    const value = plainNumber(item[name]);
    return value === undefined || value === null ? [] : [{ name, value, learnt }];
  });
  const odd = said.find(({ value }) => typeof value !== 'boolean' && value !== 0 && value !== 1);
  if (odd)
    return report.error(
      `"${odd.name}" must be 0 or 1, or true or false, not ${typeof odd.value === 'number' ? odd.value : kindOf(odd.value)}.`,
      `${key}.${odd.name}`,
    );
  const meant = new Set(said.map(({ value, learnt }) => Boolean(value) === learnt));
  if (meant.size < 2) return [...meant][0];
  const names = said.map(({ name }) => `"${name}"`).join(' and ');
  return report.error(`${names} contradict each other.`, key);
}
