import { describe, expect, it } from 'vitest';
import { distanceRows } from '../../../src/models/attention/distanceRows';
import { skew, skewBackward } from '../../../src/models/attention/skew';
import { cpuOps } from '../../support/models';

const SPEC = {
  table: { path: 'x', rows: 8 },
  norm: null,
  c2p: true,
  p2c: true,
  key: null,
  query: null,
};

describe('the rows of distances', () => {
  it('are the distances themselves, up to the ends of the table', () => {
    const spec = { ...SPEC, span: 3, buckets: 0, max_distance: 3 };
    expect([...distanceRows(spec, 5, true)]).toEqual([5, 5, 5, 4, 3, 2, 1, 0, 0]);
  });

  it('are buckets that grow with the distance', () => {
    const spec = { ...SPEC, span: 8, buckets: 8, max_distance: 40 };
    const rising = [...distanceRows(spec, 41, false)];
    expect(rising.slice(40)).toEqual([
      8, 9, 10, 11, 12, 13, 13, 13, 13, 14, 14, 14, 14, 14, 14, 14, 14, 14, 14, 15, 15, 15, 15, 15,
      15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,
    ]);
    expect([...distanceRows(spec, 41, true)]).toEqual(rising.toReversed());
  });
});

it.each([
  [3, 4],
  [1, 5],
  [4, 1],
])(
  'a skewed matrix of %i rows and %i columns has each row one to the left',
  async (rows, columns) => {
    const { ops, alive } = await cpuOps();
    const before = alive();
    const width = rows + columns - 1;
    const numbers = Float32Array.from({ length: 2 * rows * width }, (_, i) => i + 1);
    const y = skew(ops, ops.upload(numbers.slice(), [2, rows, width]), columns);
    const place = (n: number, r: number, c: number) => (n * rows + r) * width + c - r + rows - 1;
    const places = [0, 1].flatMap((n) =>
      Array.from({ length: rows * columns }, (_, i) =>
        place(n, Math.floor(i / columns), i % columns),
      ),
    );
    expect([...(await ops.download(y))]).toEqual(places.map((at) => numbers[at]));
    const dx = skewBackward(ops, y);
    const back = new Float32Array(numbers.length);
    for (const at of places) back[at] = numbers[at]!;
    expect(await ops.download(dx)).toEqual(back);
    ops.free(y, dx);
    expect(alive()).toBe(before);
  },
);
