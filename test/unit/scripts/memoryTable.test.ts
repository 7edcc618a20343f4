import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { memoryRows } from '../../bench/memoryRows';

it('gives the table of estimated memory that the documentation shows', () => {
  const cells = (line: string) => line.split('|').map((cell) => cell.trim());
  const rows = readFileSync('docs/training.md', 'utf8')
    .split('\n')
    .map((line) => cells(line).slice(1, -1).join('|'));
  for (const row of memoryRows()) expect(rows).toContain(row.join('|'));
});
