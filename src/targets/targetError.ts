import { LoraError } from '../shared/errors';

/** A target that cannot be reached at the moment: the same may succeed later. */
export class TargetUnreachable extends LoraError {
  constructor(message: string, options: { readonly fix?: string; readonly cause?: unknown } = {}) {
    super('target', message, options);
  }
}

/** @throws LoraError('cancelled') when the signal is aborted */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw cancelled();
}

/** What an aborted operation of a target rejects with. */
export const cancelled = (): LoraError =>
  new LoraError('cancelled', 'The work on the target was cancelled.');
