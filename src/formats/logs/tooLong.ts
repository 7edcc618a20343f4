import { LoraError } from '../../shared/errors';

/** A log of which a part would be left out is not read: its numbers would mislead. */
export const tooLong = (most: number, things: string): LoraError =>
  new LoraError('run', `The log has more than ${most} ${things}, the most that are read.`, {
    fix: 'Import a part of it.',
  });
