import { describe, expect, it } from 'vitest';
import { withSignal, type Cancellation } from '../../../../src/host/ui/withSignal';

/** A token, and who listens to it. */
function tokenWith(isCancellationRequested: boolean) {
  const listeners = new Set<() => void>();
  const token: Cancellation = {
    isCancellationRequested,
    onCancellationRequested: (listener) => {
      listeners.add(listener);
      return { dispose: () => listeners.delete(listener) };
    },
  };
  return { token, listeners };
}

describe('a job with a token', () => {
  it('is cancelled by it, and listens no longer than it takes', async () => {
    const { token, listeners } = tokenWith(false);
    const aborted = await withSignal(token, (signal) => {
      for (const listener of listeners) listener();
      return Promise.resolve(signal.aborted);
    });
    expect([aborted, listeners.size]).toEqual([true, 0]);
    await expect(withSignal(token, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(listeners.size).toBe(0);
  });

  it('that is cancelled already is so from its start', async () => {
    const { token } = tokenWith(true);
    expect(await withSignal(token, ({ aborted }) => Promise.resolve(aborted))).toBe(true);
  });
});
