import { describe, expect, it } from 'vitest';
import type { Example, TokensExample } from '../../../../src/data/examples/example';
import { sideBySide } from '../../../../src/data/examples/sideBySide';

const row = (length: number, line = 1): TokensExample => ({
  kind: 'tokens',
  line,
  input_ids: new Int32Array(length).fill(line),
  labels: new Int32Array(length).fill(line),
});

describe('rows of a batch side by side', () => {
  it('are one row of all of them in their order', () => {
    const rows = [row(90, 1), row(10, 2), row(20, 3)];
    expect(sideBySide(rows)).toEqual([{ kind: 'packed', parts: rows }]);
  });

  it('stay below each other where a quarter of the positions is not saved', () => {
    expect(sideBySide([row(48), row(48), row(48), row(48)])).not.toHaveLength(1);
    // 128 of 160 positions
    expect(sideBySide([row(80), row(44)])).not.toHaveLength(1);
    // 112 of 160
    expect(sideBySide([row(80), row(30)])).toHaveLength(1);
  });

  it('count lengths as batches do, rounded up', () => {
    expect(sideBySide([row(1), row(1)])).toHaveLength(1); // 16 of 32
    expect(sideBySide([row(32), row(17)])).not.toHaveLength(1); // 64 of 64, of which 49 are tokens
    expect(sideBySide([row(2), row(17)])).toHaveLength(1); // 32 of 64
  });

  it('are not for a single row, or for rows that are packed or have targets', () => {
    expect(sideBySide([row(5)])).toEqual([row(5)]);
    expect(sideBySide([])).not.toHaveLength(1);
    const packed: Example = { kind: 'packed', parts: [row(5), row(6)] };
    expect(sideBySide([packed, row(200)])).not.toHaveLength(1);
  });

  it('are not for rows with images, whose vectors have places and positions of their own', () => {
    const grid = { height: 2, width: 2 };
    const images = [{ file: '/photo.png', at: 1, tokens: 1, grid }];
    const rows = [row(90, 1), { ...row(10, 2), images }, row(20, 3)];
    expect(sideBySide(rows)).toEqual(rows);
  });
});
