import { LoraError } from '../shared/errors';

/**
 * Call it between two steps of a job that can be cancelled.
 *
 * @throws LoraError('cancelled') with `message` when the signal is aborted.
 */
export function throwIfCancelled(
  signal: AbortSignal | undefined,
  message = 'The job was cancelled: nothing was written.',
): void {
  if (signal?.aborted) throw new LoraError('cancelled', message);
}
