import { createRandom, shuffle } from '../../shared/random';
import { lengthOf, type Example } from './example';

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
 * The batches of an epoch: every example once, with a smaller last batch if the number of examples
 * is no multiple of batch_size. They depend on seed and epoch alone, so that a run can resume from
 * a number of batches. When shuffled, each window of 8 batches of a random order is sorted by
 * length, and its full batches are shuffled again.
 */
export function batchesOf<E extends Example>(
  examples: readonly E[],
  settings: BatchSettings,
): E[][] {
  const { batch_size } = settings;
  if (!settings.shuffle) return chunks(examples, batch_size);
  const random = createRandom(settings.seed, 'order', settings.epoch);
  return chunks(shuffle(examples, random), batch_size * BATCHES_IN_WINDOW).flatMap((window) => {
    const partial = window.length % batch_size;
    const whole = [...window.slice(0, window.length - partial)].sort(
      (a, b) => lengthOf(a) - lengthOf(b),
    );
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
