import { describe, expect, it } from 'vitest';
import { briefOf } from '../../../src/host/evaluation/rowViews';
import { EVALUATION_STRINGS } from '../../../src/shared/pages/evaluation/strings';
import { fill } from '../../../src/shared/values';
import { countRows, listedRows, suitesOf } from '../../../webview/evaluation/model/list';
import { differenceText, scoreText } from '../../../webview/evaluation/model/words';
import { Formatter } from '../../../webview/shared/format';
import { exampleEvaluation } from '../../support/evaluation.mjs';

const rows = exampleEvaluation().rows.map(briefOf);
const all = { filter: 'all', suite: null, column: null } as const;

describe('the list of rows', () => {
  it('has suites in their order', () => {
    expect(suitesOf(rows)).toEqual(['git', 'arithmetic', 'style']);
  });

  it('is filtered by outcome, column, suite and search', () => {
    expect(listedRows(rows, all, null)).toHaveLength(40);
    expect(countRows(rows, 'errors', all)).toBe(1);
    expect(countRows(rows, 'errors', { suite: null, column: 2 })).toBe(0);
    expect(countRows(rows, 'wins', { suite: 'git', column: 1 })).toBe(16);
    const found = new Set([1, 2]);
    expect(listedRows(rows, all, found).map(({ index }) => index)).toEqual([1, 2]);
    const losses = listedRows(rows, { filter: 'losses', suite: 'git', column: 1 }, found);
    expect(losses.map(({ index }) => index)).toEqual([1]);
  });
});

describe('the words of scores', () => {
  const page = {
    format: new Formatter('en'),
    t: (key: keyof typeof EVALUATION_STRINGS, ...values: readonly (string | number)[]) =>
      fill(EVALUATION_STRINGS[key], values),
  };
  const difference = {
    column: 1,
    difference: 0.125,
    interval: { low: -0.02, high: 0.27 },
    verdict: 'unclear',
    wins: 3,
    losses: 2,
    ties: 1,
  } as const;

  it('are percent and points for shares, else numbers', () => {
    expect(scoreText(page, 'exact', 0.824)).toBe('82%');
    expect(scoreText(page, null, 0.5)).toBe('50%');
    expect(scoreText(page, 'perplexity', 12.345)).toBe('12.3');
    expect(differenceText(page, 'exact', difference)).toBe('+13 points (−2 to +27)');
    expect(differenceText(page, 'perplexity', { ...difference, interval: null })).toBe('+0.125');
    expect(differenceText(page, 'exact', { ...difference, difference: 0 })).toBe(
      '0 points (−2 to +27)',
    );
  });
});
