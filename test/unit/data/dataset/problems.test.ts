import { describe, expect, it } from 'vitest';
import { ProblemCollector, throwErrors } from '../../../../src/data/dataset/problems';
import { countProblems } from '../../../../src/shared/problemKinds';
import { LoraError, type Problem } from '../../../../src/shared/errors';

const collected = (use: (collector: ProblemCollector) => void) => {
  const collector = new ProblemCollector('data.jsonl');
  use(collector);
  return collector.problems();
};

describe('file problems', () => {
  it('are errors with their places, if known', () => {
    expect(
      collected((c) => {
        c.error('whole file');
        c.error('row', 3);
        c.error('key', 4, 'text', 7);
      }),
    ).toEqual([
      { severity: 'error', message: 'whole file', place: { file: 'data.jsonl' } },
      { severity: 'error', message: 'row', place: { file: 'data.jsonl', line: 3 } },
      {
        severity: 'error',
        message: 'key',
        place: { file: 'data.jsonl', line: 4, key: 'text', column: 7 },
      },
    ]);
  });

  it('list errors first, then one warning per message with the number of rows', () => {
    expect(
      collected((c) => {
        c.warn('odd', 1);
        c.warn('rare', 2);
        c.error('wrong', 3);
        for (const line of [4, 4, 5]) c.warn('odd', line);
      }).map((p) => [p.severity, p.message, p.place?.line]),
    ).toEqual([
      ['error', 'wrong', 3],
      ['warning', 'odd (3 rows; also line 4, 5)', 1],
      ['warning', 'rare', 2],
    ]);
  });

  it('list the first four lines of a warning', () => {
    const message = (rows: number) =>
      collected((c) => {
        for (let line = 1; line <= rows; line++) c.warn('odd', line);
      })[0]!.message;
    expect(message(4)).toBe('odd (4 rows; also line 2, 3, 4)');
    expect(message(5)).toBe('odd (5 rows; also line 2, 3, 4, …)');
  });

  it('include shared errors once, not counted as row errors', () => {
    const collector = new ProblemCollector('f');
    collector.sharedError('no template', 1);
    collector.sharedError('no template', 2);
    expect(collector.errorCount).toBe(0);
    expect(collector.problems()).toMatchObject([
      { severity: 'error', message: 'no template (2 rows; also line 2)' },
    ]);
    collector.error('x');
    expect(collector.errorCount).toBe(1);
  });

  it('list a thousand errors, and the others by kind', () => {
    const problems = collected((c) => {
      for (let line = 1; line <= 20_000; line++)
        c.error(line % 2 === 0 ? `"${line}" is missing.` : `${line} tokens are too many.`, line);
      c.error('The file ends early.');
    });
    expect(problems).toHaveLength(1003);
    expect(
      problems.slice(1001).map(({ message, rows, place }) => [message, rows, place?.line]),
    ).toEqual([
      ['1001 tokens are too many. (9500 rows; also line 1003, 1005, 1007, …)', 9500, 1001],
      ['"1002" is missing. (9500 rows; also line 1004, 1006, 1008, …)', 9500, 1002],
    ]);
    expect(countProblems(problems)).toBe(20_001);
  });

  it('are warnings where rows with errors are left out, which are counted', () => {
    const collector = new ProblemCollector('f', { skip: true });
    collector.error('wrong', 3, 'text');
    collector.error('also wrong', 3);
    collector.error('bad', 5);
    collector.error('The file ends early.');
    expect(collector.skippedRows).toBe(2);
    expect(collector.problems().map((p) => [p.severity, p.skipped ?? false, p.message])).toEqual([
      ['warning', true, 'wrong The row is skipped (skip_faulty_rows).'],
      ['warning', true, 'also wrong The row is skipped (skip_faulty_rows).'],
      ['warning', true, 'bad The row is skipped (skip_faulty_rows).'],
      ['error', false, 'The file ends early.'],
    ]);
  });

  it('keep 200 kinds of warnings and continue to count those', () => {
    const problems = collected((c) => {
      for (let line = 1; line <= 300; line++) c.warn(`kind ${line}`, line);
      c.warn('kind 200', 301);
      c.warn('kind 201', 302);
    });
    expect(problems).toHaveLength(200);
    expect(problems.at(-1)!.message).toBe('kind 200 (2 rows; also line 301)');
  });
});

describe('throwing errors', () => {
  const error = (message: string, line?: number, file = 'f'): Problem => ({
    severity: 'error',
    message,
    place: { file, ...(line !== undefined && { line }) },
  });
  const thrown = (problems: readonly Problem[]) => {
    try {
      throwErrors(problems);
    } catch (caught) {
      return caught as LoraError;
    }
    throw new Error('nothing was thrown');
  };

  it('throws on errors, but not on warnings', () => {
    expect(() => throwErrors([{ severity: 'warning', message: 'w' }])).not.toThrow();
    const single = thrown([{ severity: 'warning', message: 'w' }, error('one', 4)]);
    expect(single).toBeInstanceOf(LoraError);
    expect(single).toMatchObject({
      area: 'dataset',
      message: 'one',
      place: { file: 'f', line: 4 },
    });
    expect(thrown([{ severity: 'error', message: 'no place' }]).place).toBeUndefined();
  });

  it('counts the rows if there are several errors', () => {
    const several = thrown([error('a', 1), error('b', 1), error('c', 2), error('d', 2, 'g')]);
    expect(several.message).toBe('The dataset has 4 errors in 3 rows.');
    expect(several.place).toEqual({ file: 'f' });
    expect(several.problems).toHaveLength(4);
    expect(thrown([error('a', 1), error('b', 1)]).message).toMatch(/2 errors in 1 row\./);
    expect(thrown([error('a'), error('b')]).message).toMatch(/in 1 row\./);
  });
});
