import { describe, expect, it } from 'vitest';
import { throwIfCancelled } from '../../../src/common/cancellation';

describe('throwIfCancelled', () => {
  it('throws for an aborted signal only', () => {
    throwIfCancelled(undefined);
    throwIfCancelled(new AbortController().signal);
    expect(() => throwIfCancelled(AbortSignal.abort())).toThrow(
      expect.objectContaining({
        area: 'cancelled',
        message: 'The job was cancelled: nothing was written.',
      }) as Error,
    );
  });

  it('throws the given message', () => {
    expect(() => throwIfCancelled(AbortSignal.abort(), 'Stopped.')).toThrow('Stopped.');
  });
});
