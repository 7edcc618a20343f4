import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { lastNumber, checkAnswer, checkFault } from '../../../../src/engine/evaluation/checkAnswer';
import { scoresOf } from '../../../../src/engine/evaluation/scores';
import { statisticOf } from '../../../../src/engine/evaluation/statistics';
import { BOOTSTRAP } from '../../../../src/shared/evaluation/bootstrap';
import type { EvaluatedCell, EvaluatedRow } from '../../../../src/shared/evaluation/result';
import { SuiteRowSchema, type Check } from '../../../../src/shared/evaluation/suite';
import * as v from 'valibot';

const facts = JSON.parse(readFileSync('test/fixtures/evaluation.json', 'utf8')) as {
  readonly f1: {
    readonly expected: readonly string[];
    readonly found: readonly string[];
    readonly macro: number;
  };
  readonly intervals: {
    readonly first: readonly number[];
    readonly second: readonly number[];
    readonly low: number;
    readonly high: number;
  };
};

const cell = (own: Partial<EvaluatedCell>): EvaluatedCell => ({
  answer: '',
  calls: '',
  scores: {},
  error: null,
  reason: '',
  seconds: 0,
  ...own,
});

const rowOf = (index: number, given: object, cells: readonly EvaluatedCell[]): EvaluatedRow => ({
  index,
  suite: 'own',
  file: 'evals.jsonl',
  line: index + 1,
  row: v.parse(SuiteRowSchema, { prompt: 'a', ...given }),
  cells: [...cells],
});

const exact = { check: { kind: 'exact', expected: 'b' } };
const checkOf = (check: object): Check => v.parse(SuiteRowSchema, { prompt: 'a', check }).check;
const answer = (content: string) => ({ content, calls: [], isFaulty: false });

describe('scores', () => {
  it('have the interval of a paired difference that scipy finds', () => {
    const { first, second, low, high } = facts.intervals;
    const rows = first.map((own, i) =>
      rowOf(i, exact, [cell({ scores: { exact: own } }), cell({ scores: { exact: second[i]! } })]),
    );
    const [total, own] = scoresOf(rows, 2, BOOTSTRAP);
    const { interval, verdict, wins, losses } = own!.differences[0]!;
    expect(Math.abs(interval!.low - low)).toBeLessThan(0.015);
    expect(Math.abs(interval!.high - high)).toBeLessThan(0.015);
    expect(verdict).toBe('better');
    const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
    expect(wins - losses).toBe(sum(second) - sum(first));
    expect(total!.differences[0]).toEqual({ ...own!.differences[0] });
  });

  it('have the macro F1 that scikit-learn finds', () => {
    const { expected, found, macro } = facts.f1;
    const rows = expected.map((own, i) => {
      const given = { prompt: undefined, text: 'a', check: { kind: 'label', expected: own } };
      const right = found[i] === own ? 1 : 0;
      return rowOf(i, given, [cell({ answer: found[i]!, scores: { accuracy: right } })]);
    });
    const scores = scoresOf(rows, 1, BOOTSTRAP);
    expect(scores.map(({ metric }) => metric)).toEqual([null, 'accuracy', 'f1']);
    expect(scores[2]!.columns[0]!.value).toBeCloseTo(macro, 12);
  });

  it('of macro F1 need two numbers per row, however many classes there are', () => {
    const rows = Array.from({ length: 3000 }, (_, i) => {
      const label = `class ${i % 1500}`;
      const given = { prompt: undefined, text: 'a', check: { kind: 'label', expected: label } };
      const isRight = i < 1500;
      const answer = isRight ? label : 'class 0';
      return rowOf(i, given, [cell({ answer, scores: { accuracy: isRight ? 1 : 0 } })]);
    });
    expect(statisticOf('f1', rows).vectorOf(rows[0]!, rows[0]!.cells[0]!)).toHaveLength(2);
    // of each other class one answer of two is right; the first is found 1499 times too often
    const macro = (1499 * (2 / 3) + 4 / (2 + 1501)) / 1500;
    expect(scoresOf(rows, 1, BOOTSTRAP)[2]!.columns[0]!.value).toBeCloseTo(macro, 12);
  });

  it('weigh perplexity by tokens, and leave it out of the total', () => {
    const given = { prompt: undefined, text: 'a', check: { kind: 'perplexity' } };
    const rows = [
      rowOf(0, given, [cell({ loss: { sum: 2, tokens: 1 } })]),
      rowOf(1, given, [cell({ loss: { sum: 4, tokens: 5 } })]),
    ];
    const [total, own] = scoresOf(rows, 1, BOOTSTRAP);
    expect(total!.columns[0]!.value).toBeNull();
    expect(own!.columns[0]!.value).toBeCloseTo(Math.E, 12);
  });

  it('leave out rows with errors, in differences those of either column', () => {
    const rows = [
      rowOf(0, exact, [cell({ scores: { exact: 1 } }), cell({ error: 'gone' })]),
      rowOf(1, exact, [cell({ scores: { exact: 0 } }), cell({ scores: { exact: 1 } })]),
    ];
    const own = scoresOf(rows, 2, BOOTSTRAP)[1]!;
    expect(own.columns).toMatchObject([
      { value: 0.5, rows: 2, errors: 0 },
      { value: 1, rows: 1, errors: 1 },
    ]);
    expect(own.differences).toMatchObject([{ difference: 1, wins: 1, verdict: 'unclear' }]);
  });
});

describe('checks', () => {
  it.each([
    [{ kind: 'exact', expected: ['no', 'yes'] }, ' yes\n', 1],
    [{ kind: 'exact', expected: 'Yes' }, 'yes', 0],
    [{ kind: 'exact', expected: 'Yes', ignore_case: true }, 'yes', 1],
    [{ kind: 'contains', expected: ['reset', 'HEAD'] }, 'git reset HEAD~1', 1],
    [{ kind: 'contains', expected: ['reset', 'hard'] }, 'git reset HEAD~1', 0],
    [{ kind: 'regex', pattern: '^git (reset|revert)' }, 'git revert', 1],
    [{ kind: 'regex', pattern: '^git (reset|revert)' }, 'use git revert', 0],
    [{ kind: 'json_schema', schema: { type: 'object' } }, '```json\n{"a": 1}\n```', 1],
    [{ kind: 'json_schema', schema: { type: 'object' } }, '[1]', 0],
    [{ kind: 'json_schema', schema: true }, '{"a": 1', 0],
    [{ kind: 'numeric', expected: 1234.5 }, 'first 3, then 1,234.50.', 1],
    [{ kind: 'numeric', expected: 10, tolerance: 0.5 }, 'about 10.4', 1],
    [{ kind: 'numeric', expected: 10, tolerance: 0.5 }, 'about 10.6', 0],
    [{ kind: 'numeric', expected: 10 }, 'ten', 0],
  ])('%j of %j', (check, text, score) => {
    const own = checkOf(check);
    expect(checkAnswer(own as Parameters<typeof checkAnswer>[0], answer(text)).scores).toEqual({
      [own.kind]: score,
    });
  });

  it('of tool calls need the same tools and arguments, in any order', () => {
    const call = (name: string, x: number) => ({ name, arguments: { x } });
    const check = checkOf({ kind: 'tool_calls', expected: [call('a', 1), call('b', 2)] });
    const score = (...calls: readonly ReturnType<typeof call>[]) =>
      checkAnswer(check as Parameters<typeof checkAnswer>[0], {
        content: '',
        calls,
        isFaulty: false,
      });
    expect(score(call('b', 2), call('a', 1)).scores).toEqual({ tool_calls: 1 });
    expect(score(call('b', 3), call('a', 1))).toEqual({
      scores: { tool_calls: 0 },
      reason: 'other arguments',
    });
  });

  it.each([
    ['−3,5 and -2', -2],
    ['1,000,000', 1_000_000],
    ['12,34', 12.34],
    ['3,14', 3.14],
    ['−3,5', -3.5],
    ['0,500', 0.5],
    ['1,234', 1234],
    ['-1,234.5', -1234.5],
    ['1.234,5', 1234.5],
    ['1,2,3', 3],
    ['1,234,56', 56],
    ['1.5,2', 2],
    ['10-12', 12],
    ['5−3', 3],
    ['COVID-19', 19],
    ['x=-5', -5],
    [`1${',111'.repeat(20_000)}1`, 1111],
    [`1${'.111'.repeat(20_000)}`, 0.111],
    ['x = .5', 0.5],
    ['1e-3', 0.001],
    ['none', null],
  ])('find the last number of %j', (text, number) => {
    expect(lastNumber(text)).toBe(number);
  });

  it.each([
    [{ kind: 'regex', pattern: '(?<=a)b' }, 'RE2'],
    [{ kind: 'json_schema', schema: { typ: 'object' } }, '"typ"'],
    [{ kind: 'choice', choices: ['a', 'b'], expected: 'c' }, 'none of its choices'],
    [{ kind: 'choice', choices: ['a', 'b'], expected: 2 }, 'none of its choices'],
    [{ kind: 'choice', choices: ['a', 'a'], expected: 0 }, 'twice'],
  ])('are refused: %j', (check, reason) => {
    expect(checkFault(checkOf(check))).toContain(reason);
  });
});
