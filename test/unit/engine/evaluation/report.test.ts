import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { readEvaluation, writeEvaluation } from '../../../../src/engine/evaluation/folder';
import { joined } from '../../../../src/engine/evaluation/joined';
import { csvReport } from '../../../../src/engine/evaluation/report/csv';
import { htmlReport } from '../../../../src/engine/evaluation/report/html';
import { markdownReport } from '../../../../src/engine/evaluation/report/markdown';
import { checkReports } from '../../../../src/engine/evaluation/report/reports';
import type { EvaluationResult } from '../../../../src/engine/evaluation/run';
import { scoresOf } from '../../../../src/engine/evaluation/scores';
import { BOOTSTRAP } from '../../../../src/shared/evaluation/bootstrap';
import type { EvaluatedRow } from '../../../../src/shared/evaluation/result';
import { SuiteRowSchema } from '../../../../src/shared/evaluation/suite';
import { temp } from '../../../support/temp';

const HOSTILE = '</title><script>alert(1)</script><img src=x onerror="alert(2)">\u202e';

/** A column that answers as many of the questions right. */
function evaluationOf(names: readonly string[], right: readonly number[]): EvaluationResult {
  const rows = Array.from({ length: 8 }, (_, index): EvaluatedRow => ({
    index,
    suite: 'own',
    file: 'evals.jsonl',
    line: index + 1,
    row: v.parse(SuiteRowSchema, {
      prompt: `${HOSTILE} ${index}`,
      check: { kind: 'exact', expected: 'yes' },
    }),
    cells: right.map((count) => ({
      answer: index < count ? 'yes' : '=HYPERLINK("a")',
      calls: '',
      scores: { exact: index < count ? 1 : 0 },
      error: null,
      reason: '',
      seconds: 0,
    })),
  }));
  return {
    rows,
    evaluation: {
      version: 1,
      id: 'a',
      created: '2026-01-01T00:00:00.000Z',
      base: 'base',
      suites: ['evals.jsonl'],
      columns: names.map((name) => ({ kind: 'adapter', name, path: name })),
      rows: rows.length,
      settings: { temperature: 0, seed: 0, max_new_tokens: 8, confidence: 0.95, resamples: 1000 },
      scores: [...scoresOf(rows, right.length, BOOTSTRAP)],
      judge: null,
      seconds: 1,
    },
  };
}

describe('reports', () => {
  const result = evaluationOf(['base', `own ${HOSTILE}`], [0, 7]);

  it('as HTML have no script and nothing from outside, whatever the texts are', () => {
    const page = htmlReport(result);
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'`);
    expect(page).not.toMatch(/<script|<img|<\/title><|\u202e/);
    expect(page).not.toMatch(/https?:|url\(|src=[^x]|@import/);
    expect(page.match(/<svg/g)).toHaveLength(2);
    expect(page.match(/<details>/g)).toHaveLength(8);
    expect(page).toContain('+87.5%');
    expect(page).toContain('better; 7 better, 0 worse, 1 equal');
  });

  it('as Markdown show texts as they are', () => {
    const text = markdownReport(evaluationOf(['base', HOSTILE], [8, 0]));
    expect(text).not.toMatch(/(?<!\\)<(?:script|img)/);
    expect(text).toContain('| total score | 100.0% (100.0% to 100.0%) | 0.0%');
    expect(text).toContain('## Rows that are worse: 8');
  });

  it('as CSV contain no formulas', () => {
    const lines = csvReport(result).split('\r\n');
    expect(lines[0]).toBe(
      'file,line,suite,kind,question,expected,column,answer,calls,exact,loss,error',
    );
    expect(lines).toHaveLength(1 + 16 + 1);
    expect(lines[1]).toContain(`"'=HYPERLINK(""a"")"`);
  });

  it('are known by their endings', () => {
    expect(() => checkReports(['a.html', 'b.md', 'c.csv'])).not.toThrow();
    expect(() => checkReports(['a.pdf'])).toThrow('.html, .md or .csv');
  });
});

describe('the folder of an evaluation', () => {
  it('is read as it was written', async () => {
    const folder = path.join(temp(), '.lora/evaluations/one');
    const result = evaluationOf(['base', 'own'], [3, 4]);
    await writeEvaluation(folder, result);
    expect(await readEvaluation(folder)).toEqual({ ...result, votes: [] });
  });

  it.each([
    ['evaluation.json', '{"version": 2}'],
    ['rows.jsonl', '{"index": 0}\n'],
    ['rows.jsonl', ''],
  ])('is refused with another %s', async (name, text) => {
    const folder = path.join(temp(), 'one');
    await writeEvaluation(folder, evaluationOf(['base'], [3]));
    writeFileSync(path.join(folder, name), text);
    await expect(readEvaluation(folder)).rejects.toThrow(
      'The file does not belong to an evaluation.',
    );
  });
});

describe('several evaluations', () => {
  const part = (names: readonly string[], right: readonly number[]) => ({
    ...evaluationOf(names, right),
    votes: [],
  });

  it('are one, with the columns of all', () => {
    const { evaluation, rows } = joined([part(['base', 'a'], [1, 2]), part(['base', 'b'], [1, 8])]);
    expect(evaluation.columns.map(({ name }) => name)).toEqual(['base', 'a', 'b']);
    expect(rows[0]!.cells).toHaveLength(3);
    expect(evaluation.scores[0]!.differences).toMatchObject([
      { verdict: 'unclear', wins: 1 },
      { verdict: 'better', wins: 7 },
    ]);
  });

  it('keep a column with the same name and other answers', () => {
    const { evaluation } = joined([part(['base'], [1]), part(['base'], [2])]);
    expect(evaluation.columns.map(({ name }) => name)).toEqual(['base', 'base (2)']);
  });

  it('keep the verdicts of a judge only against the same first column', () => {
    const judged = (first: string) => {
      const own = part([first, `${first}-2`], [1, 2]);
      const rows = own.rows.map((row) => ({
        ...row,
        row: v.parse(SuiteRowSchema, { prompt: String(row.index), check: { kind: 'judge' } }),
        cells: row.cells.map((cell, i) => ({ ...cell, scores: { judge: i === 0 ? 0.5 : 1 } })),
      }));
      return { ...own, rows };
    };
    const preferred = ({ evaluation }: EvaluationResult) =>
      evaluation.scores
        .find(({ metric }) => metric === 'judge')!
        .columns.map(({ value, rows }) => [value, rows]);
    const shared = joined([judged('a'), judged('a')]);
    expect(preferred(shared)).toEqual([
      [0.5, 8],
      [1, 8],
    ]);
    expect(preferred(joined([judged('a'), judged('b')]))).toEqual([
      [0.5, 8],
      [1, 8],
      [null, 0],
      [null, 0],
    ]);
  });

  it('must have a row in common', () => {
    const other = part(['base'], [1]);
    const rows = other.rows.map((row) => ({ ...row, suite: 'other' }));
    expect(() => joined([part(['base'], [1]), { ...other, rows }])).toThrow('no row in common');
  });
});
