import { createRandom, shuffle } from '../../shared/random';
import type { Examples } from './examples';

export interface BatchSettings {
  readonly batch_size: number;
  readonly shuffle: boolean;
  readonly seed: number;
  /** From 0. */
  readonly epoch: number;
}

/**
 * Within windows of this many batches of the shuffled order, examples of similar length form a
 * batch: less padding, and still a random order.
 */
const BATCHES_IN_WINDOW = 8;

/**
 * The batches of an epoch, as indices of examples: every example once, with a smaller last batch if
 * the number of examples is no multiple of batch_size. They depend on seed and epoch alone, so that
 * a run can resume from a number of batches. When shuffled, each window of 8 batches of a random
 * order is sorted by length, and its full batches are shuffled again.
 */
export function batchesOf(
  examples: Pick<Examples, 'length' | 'lengthAt'>,
  settings: BatchSettings,
): number[][] {
  const { batch_size } = settings;
  const all = Array.from({ length: examples.length }, (_, i) => i);
  if (!settings.shuffle) return chunks(all, batch_size);
  const random = createRandom(settings.seed, 'order', settings.epoch);
  return chunks(shuffle(all, random), batch_size * BATCHES_IN_WINDOW).flatMap((window) => {
    const partial = window.length % batch_size;
    const whole = window
      .slice(0, window.length - partial)
      .sort((a, b) => examples.lengthAt(a) - examples.lengthAt(b));
    return [
      ...shuffle(chunks(whole, batch_size), random),
      ...chunks(window.slice(window.length - partial), batch_size),
    ];
  });
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) =>
    items.slice(i * size, (i + 1) * size),
  );
}
