import { expect, it } from 'vitest';
import { PrefixCache } from '../../../../src/engine/serve/prefixCache';
import type { Decoder, Sequence } from '../../../../src/models/model';

/** A decoder whose sequences hold no tensors. */
function decoder(copiesParts: boolean): { readonly own: Decoder; readonly copies: number[] } {
  const copies: number[] = [];
  const unused = () => Promise.reject(new Error('The test reads no tokens.'));
  const own: Decoder = {
    copiesParts,
    drafts: null,
    bytesOf: (length) => length,
    remainingPositions: () => Infinity,
    open: () => ({ caches: [], length: 0, capacity: 0 }),
    read: unused,
    step: unused,
    copy: (_, length) => {
      copies.push(length);
      return { caches: [], length, capacity: 0 };
    },
    close: () => undefined,
  };
  return { own, copies };
}

const tokens = (count: number) => Array.from({ length: count }, (_, i) => i);
const sequenceOf = (length: number): Sequence => ({ caches: [], length, capacity: 0 });

it('shares the beginning of a sequence whose states cannot be cut only as a whole', () => {
  for (const copiesParts of [true, false]) {
    const { own, copies } = decoder(copiesParts);
    const cache = new PrefixCache(1000);
    cache.keep(own, 'mix', tokens(40), sequenceOf(40));
    const partly = [...tokens(30), 99, 98];
    expect(cache.take(own, 'mix', partly, [])?.length).toBe(copiesParts ? 30 : undefined);
    expect(cache.take(own, 'mix', tokens(50), [])?.length).toBe(40);
    const running = { ids: tokens(20), sequence: sequenceOf(20) };
    expect(cache.take(own, 'mix', tokens(25), [running])?.length).toBe(20);
    expect(copies).toEqual(copiesParts ? [30, 20] : [20]);
  }
});
