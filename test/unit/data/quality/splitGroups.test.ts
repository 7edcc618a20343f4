import { describe, expect, test } from 'vitest';
import { Groups } from '../../../../src/data/quality/groups';
import { drawGroups } from '../../../../src/data/quality/splitGroups';

const rowsTo = (count: number) => Int32Array.from({ length: count }, (_, i) => i);
const sum = (drawn: Uint8Array) => drawn.reduce((total, own) => total + own, 0);

describe('drawing whole groups', () => {
  test('takes the share of the rows, by seed', () => {
    const rows = rowsTo(200);
    const drawn = drawGroups(rows, new Groups(200), { share: 0.1, seed: 1 });
    expect(sum(drawn)).toBe(20);
    expect(drawGroups(rows, new Groups(200), { share: 0.1, seed: 1 })).toEqual(drawn);
    expect(drawGroups(rows, new Groups(200), { share: 0.1, seed: 2 })).not.toEqual(drawn);
  });

  test('keeps the rows of a group together', () => {
    for (let seed = 0; seed < 30; seed++) {
      const groups = new Groups(60);
      for (let row = 3; row < 60; row++) if (row % 7 < 4) groups.join(row, row - 3);
      const drawn = drawGroups(rowsTo(60), groups, { share: 0.3, seed });
      for (let row = 0; row < 60; row++) expect(drawn[row]).toBe(drawn[groups.firstOf(row)]);
      expect(sum(drawn)).toBeGreaterThan(0);
      expect(sum(drawn)).toBeLessThan(60);
    }
  });

  test('leaves out rows that are not divided, and draws the smallest group if none fits', () => {
    const groups = new Groups(30);
    for (let row = 1; row < 20; row++) groups.join(0, row);
    for (let row = 21; row < 30; row++) groups.join(20, row);
    const rows = rowsTo(30).filter((row) => row !== 25);
    const drawn = drawGroups(rows, groups, { share: 0.05, seed: 3 });
    expect(drawn.length).toBe(29);
    expect(sum(drawn)).toBe(9);
    expect(drawn[0]).toBe(0);
  });

  test('one group stays for training', () => {
    const groups = new Groups(5);
    for (let row = 1; row < 5; row++) groups.join(0, row);
    expect(sum(drawGroups(rowsTo(5), groups, { share: 0.5, seed: 0 }))).toBe(0);
  });
});
