import { describe, expect, it } from 'vitest';
import { isDue, type DrawnRow } from '../../../../src/host/runs/redraw';
import type { TreeRow } from '../../../../src/host/runs/treeRow';

const row = (description: string, fixed = 'running'): TreeRow => ({
  label: 'r8',
  description,
  icon: '',
  color: null,
  context: '',
  details: [],
  spoken: '',
  fixed,
});
const drawn: DrawnRow = { row: row('1/300'), at: 100_000, hovered: null };

describe('a row of the Runs view is drawn again', () => {
  it('not while it shows the same', () => {
    expect(isDue(drawn, row('1/300'), 900_000)).toBe(false);
  });

  it('with new numbers now and then, not with each step', () => {
    expect(isDue(drawn, row('2/300'), 100_200)).toBe(false);
    expect(isDue(drawn, row('30/300'), 103_000)).toBe(true);
  });

  it('later while its card may be open, which VS Code would close', () => {
    const hovered = { ...drawn, hovered: 103_000 };
    expect(isDue(hovered, row('90/300'), 170_000)).toBe(false);
    expect(isDue(hovered, row('300/300'), 223_000)).toBe(true);
  });

  it('at once when its state changes', () => {
    const hovered = { ...drawn, hovered: 100_100 };
    expect(isDue(hovered, row('2/300', 'paused'), 100_200)).toBe(true);
  });
});
