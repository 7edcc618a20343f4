import { beforeEach, describe, expect, it, vi } from 'vitest';
import { RowCommands } from '../../../../src/host/runs/rowCommands';
import { RunRows } from '../../../../src/host/runs/runRows';
import { itemOf, type RunNode } from '../../../../src/host/runs/runNodes';
import { summaryOf } from '../../../support/runRecords';

vi.mock('vscode', async () => (await import('../../../support/fakeVscode')).fakeVscode());

describe('rows that must be drawn again', () => {
  let rows: RunRows;
  const runAt = (step: number) => ({ ...summaryOf(), state: 'running' as const, step });
  const show = (step: number) => rows.update([runAt(step)], 'none');
  const draw = () => itemOf(rows.top[0] as RunNode, new RowCommands());
  /** In milliseconds after the row was drawn first. */
  const takenAfter = (ms: number) => rows.takeDue(Date.now() + ms).length;

  beforeEach(() => {
    rows = new RunRows();
    show(0);
    draw();
    show(1);
  });

  it('are taken once, until VS Code has drawn them', () => {
    expect(takenAfter(4_000)).toBe(1);
    show(2);
    expect(takenAfter(4_200)).toBe(0);
    rows.hover(null, Date.now());
    expect(takenAfter(8_000)).toBe(0);
    draw();
    show(3);
    expect(takenAfter(4_000)).toBe(1);
  });

  it('are taken again if VS Code has not drawn them for ten seconds', () => {
    expect(takenAfter(4_000)).toBe(1);
    expect(takenAfter(13_000)).toBe(0);
    expect(takenAfter(14_200)).toBe(1);
  });
});
