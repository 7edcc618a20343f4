import { describe, expect, it } from 'vitest';
import { asEvaluatedRow, asEvaluation } from '../../../../src/shared/evaluation/result';
import { briefOf, openedOf, rowsWith, turnsOf } from '../../../../src/host/evaluation/rowViews';
import { exampleEvaluation } from '../../../support/evaluation.mjs';

const { evaluation, rows } = exampleEvaluation();

describe('the example', () => {
  it('is in the format of the engine', () => {
    expect(asEvaluation(evaluation)).toEqual(evaluation);
    for (const row of rows) expect(asEvaluatedRow(row)).toEqual(row);
  });
});

describe('the rows of an evaluation', () => {
  it('have outcomes beside the first column, and regressions where that was right', () => {
    const { cells } = briefOf(rows[1]!);
    expect(cells.map(({ outcome }) => outcome)).toEqual([null, 'loss', 'loss']);
    expect(cells.map(({ isRegression }) => isRegression)).toEqual([false, true, true]);
    const win = briefOf(rows[0]!).cells[1]!;
    expect([win.outcome, win.isRegression]).toEqual(['win', false]);
  });

  it('compare judged answers with a tie, and never call them regressions', () => {
    const judged = rows.filter(({ suite }) => suite === 'style').map(briefOf);
    expect(judged.map(({ cells }) => cells[1]!.outcome)).toEqual([
      'win',
      'tie',
      'win',
      'loss',
      'win',
      'tie',
    ]);
    expect(judged.flatMap(({ cells }) => cells).some(({ isRegression }) => isRegression)).toBe(
      false,
    );
  });

  it('have no outcome with an error, which they show', () => {
    const failed = rows.find(({ cells }) => cells[1]!.error !== null)!;
    expect(briefOf(failed).cells[1]).toMatchObject({
      text: 'The answer has no number.',
      isError: true,
      score: null,
      outcome: null,
    });
    expect(openedOf(failed).answers[1]).toMatchObject({ scores: [], isRight: false });
  });

  it('count a lower perplexity as a win', () => {
    const cell = (sum: number) => ({
      answer: '',
      calls: '',
      scores: {},
      error: null,
      reason: '',
      loss: { sum, tokens: 10 },
      seconds: 0,
    });
    const text = { text: 'Paris', plain: false, check: { kind: 'perplexity' } } as const;
    const row = {
      index: 0,
      suite: 's',
      file: 'f',
      line: 1,
      row: text,
      cells: [cell(20), cell(10)],
    };
    const { cells } = briefOf(row);
    expect(cells[1]).toMatchObject({ outcome: 'win', isRegression: false });
    expect(cells[1]!.score).toBeCloseTo(Math.E, 6);
  });

  it('shorten long texts in the list, but not when opened', () => {
    const [first] = rows;
    const long = 'word '.repeat(200);
    const row = { ...first!, row: { ...first!.row, prompt: long } };
    expect(briefOf(row).question.length).toBeLessThan(170);
    expect(openedOf(row).turns).toEqual([{ role: 'user', text: long }]);
  });

  it('show messages, systems and pairs of texts as turns', () => {
    const check = { kind: 'label', expected: 'yes' } as const;
    expect(turnsOf({ text: 'a', text_pair: 'b', plain: false, check })).toEqual([
      { role: 'text', text: 'a' },
      { role: 'text', text: 'b' },
    ]);
    expect(turnsOf(rows.at(-1)!.row).map(({ role }) => role)).toEqual(['system', 'user']);
    const messages = [
      { role: 'user', content: 'x' },
      { role: 'assistant', tool_calls: [] },
    ];
    expect(turnsOf({ messages, plain: false, check })).toEqual([
      { role: 'user', text: 'x' },
      { role: 'assistant', text: '{"tool_calls":[]}' },
    ]);
  });

  it('are found by questions, answers and errors in any case', () => {
    expect(rowsWith(rows, 'BLAME')).toEqual([1, 9, 17]);
    expect(rowsWith(rows, 'has no number')).toEqual([26]);
    expect(rowsWith(rows, 'nowhere')).toEqual([]);
  });
});
