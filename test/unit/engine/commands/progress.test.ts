import { expect, it } from 'vitest';
import { progressBar } from '../../../../src/engine/commands/progress';
import { formatClock } from '../../../../src/engine/describe';

it('the terminal shows progress bars and durations', () => {
  expect(progressBar(0.5)).toBe(`[${'█'.repeat(12)}${'░'.repeat(12)}] 50%`);
  expect([formatClock(5), formatClock(75), formatClock(3675)]).toEqual(['0:05', '1:15', '1:01:15']);
});
