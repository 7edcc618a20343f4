import { expect, it } from 'vitest';
import { inPlaceOf } from '../../../../src/models/adapters';
import { Arena } from '../../../../src/models/ops/arena';
import type { Ops } from '../../../../src/models/ops/ops';

it('takes more than one memory can have as an ordinary buffer', () => {
  const arena = new Arena(1 << 20);
  const [buffer, offset] = arena.take(3 << 20);
  expect([buffer.byteLength, offset]).toEqual([3 << 20, 0]);
  const [first] = arena.take(100);
  const [second, next] = arena.take(100);
  expect([second === first, first.byteLength, next]).toEqual([true, 1 << 20, 128]);
});

it('leaves numbers to the kernels only where one memory has room for all of them', () => {
  const ops = {} as Ops;
  const starts = (...lengths: readonly number[]) => lengths.map((length) => ({ data: { length } }));
  expect(inPlaceOf(ops, starts(2 ** 30 - 8, 8))).toBe(ops);
  expect(inPlaceOf(ops, starts(2 ** 30, 1))).toBeNull();
  expect(inPlaceOf(null, starts(1))).toBeNull();
});
