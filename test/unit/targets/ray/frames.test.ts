import fc from 'fast-check';
import { expect, it } from 'vitest';
import { Frames } from '../../../../src/targets/ray/pipe';

it('takes frames apart, however they arrive', () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(fc.array(bytes), fc.integer({ min: 1, max: 9 }), (contents, size) => {
      const written = Buffer.concat([
        ...contents.flatMap((own) => [Buffer.from(`${own.length}\n`), own]),
        Buffer.from('-\n'),
      ]);
      const frames = new Frames();
      const taken: (Buffer | null)[] = [];
      for (let at = 0; at < written.length; at += size) {
        frames.push(written.subarray(at, at + size));
        for (let next = frames.take(); next !== undefined; next = frames.take()) {
          taken.push(next);
          if (next === null) break;
        }
      }
      expect(taken.pop()).toBeNull();
      expect(taken.map((own) => [...own!])).toEqual(contents.map((own) => [...own]));
    }),
  );
});

it.each(['<!doctype html>\n', '99999999\n', '0\n', '1e3\n', 'x'.repeat(20)])(
  'refuses %j, which the launcher never writes',
  (text) => {
    const frames = new Frames();
    frames.push(Buffer.from(text));
    expect(() => frames.take()).toThrow('something else');
  },
);
