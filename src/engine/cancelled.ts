import { LoraError } from '../shared/errors';

/** Errors: LoraError('cancelled') where the signal says so. */
export function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted)
    throw new LoraError('cancelled', 'The job was cancelled: nothing was written.');
}
