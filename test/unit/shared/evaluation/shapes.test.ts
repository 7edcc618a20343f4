import { describe, expect, it } from 'vitest';
import { bootstrapInterval } from '../../../../src/shared/evaluation/bootstrap';
import { metricsOf } from '../../../../src/shared/evaluation/metrics';
import { asSuiteRow, expectedOf, questionOf } from '../../../../src/shared/evaluation/suite';
import { verdictOf } from '../../../../src/shared/evaluation/verdict';
import { lastVotes, voteFor, type Vote } from '../../../../src/shared/evaluation/votes';

describe('a row of a suite', () => {
  it('is read with its defaults', () => {
    const row = asSuiteRow({ prompt: '1 + 1?', check: { kind: 'numeric', expected: 2 } });
    expect(row).toMatchObject({ plain: false, check: { tolerance: 0 } });
    expect(questionOf(row!)).toBe('1 + 1?');
    expect(expectedOf(row!)).toBe('2');
  });

  it.each([
    { prompt: 'a', check: { kind: 'spelling', expected: 'b' } },
    { prompt: 'a', check: { kind: 'exact' } },
    { prompt: 'a', check: { kind: 'exact', expected: 'b', tolerance: 1 } },
    { prompt: 'a', checks: {}, check: { kind: 'exact', expected: 'b' } },
    { prompt: 'a', check: { kind: 'choice', choices: ['a'], expected: 0 } },
  ])('is refused: %j', (row) => {
    expect(asSuiteRow(row)).toBeUndefined();
  });

  it('gives one number or two', () => {
    expect(metricsOf('choice')).toEqual(['choice', 'choice_norm']);
    expect(metricsOf('label')).toEqual(['accuracy', 'f1']);
  });
});

describe('verdicts', () => {
  const rows = { wins: 6, losses: 0, isSame: false };
  const sure = { ...rows, interval: { low: 0.1, high: 0.2 } };

  it('say better or worse only where the interval excludes 0', () => {
    expect(verdictOf(sure, false)).toBe('better');
    expect(verdictOf(sure, true)).toBe('worse');
    expect(verdictOf({ ...rows, interval: { low: -0.2, high: -0.1 } }, true)).toBe('better');
    expect(verdictOf({ ...rows, interval: { low: 0, high: 0.2 } }, false)).toBe('unclear');
    expect(verdictOf({ ...rows, interval: null }, false)).toBe('unclear');
    expect(verdictOf({ ...sure, isSame: true }, false)).toBe('equal');
  });

  it('say nothing of fewer than 6 rows that differ', () => {
    expect(verdictOf({ ...sure, wins: 5 }, false)).toBe('unclear');
  });
});

describe('bootstrap intervals', () => {
  const mean = (values: readonly number[]) => (indices: Int32Array) =>
    indices.reduce((sum, i) => sum + values[i]!, 0) / indices.length;

  it('are about 1.96 standard errors wide on each side', () => {
    const values = Array.from({ length: 400 }, (_, i) => (i % 4 === 0 ? 1 : 0));
    const { low, high } = bootstrapInterval(400, mean(values))!;
    const error = Math.sqrt((0.25 * 0.75) / 400);
    expect(Math.abs(low - (0.25 - 1.96 * error))).toBeLessThan(0.01);
    expect(Math.abs(high - (0.25 + 1.96 * error))).toBeLessThan(0.01);
  });

  it('are the same each time, and missing for one row', () => {
    const values = [0, 1, 1, 0, 1];
    expect(bootstrapInterval(5, mean(values))).toEqual(bootstrapInterval(5, mean(values)));
    expect(bootstrapInterval(1, mean([1]))).toBeNull();
  });
});

describe('votes', () => {
  const vote = (left: string, right: string, winner: Vote['winner']): Vote => ({
    row: 3,
    left,
    right,
    winner,
    time: '2026-01-01T00:00:00Z',
  });

  it('count once for each pair, the last one', () => {
    const votes = [vote('a', 'b', 'left'), vote('b', 'a', 'left')];
    expect(lastVotes(votes)).toEqual([votes[1]]);
  });

  it('count for their columns', () => {
    expect(voteFor(vote('a', 'b', 'right'), 'b')).toBe(1);
    expect(voteFor(vote('a', 'b', 'right'), 'a')).toBe(0);
    expect(voteFor(vote('a', 'b', 'tie'), 'a')).toBe(0.5);
    expect(voteFor(vote('a', 'b', 'tie'), 'c')).toBeNull();
  });
});
