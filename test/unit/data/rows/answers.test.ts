import { describe, expect, it } from 'vitest';
import { ProblemCollector } from '../../../../src/data/dataset/problems';
import { readRow } from '../../../../src/data/rows/readRow';
import { RowReport } from '../../../../src/data/rows/rowReport';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';

/** What a line becomes, with its problems as "message @ key". */
function read(row: object) {
  const problems = new ProblemCollector('f');
  const report = new RowReport(problems, 1);
  const settings = { ...ROW_SETTINGS, task: 'seq2seq_lm' } as const;
  const text = JSON.stringify(row);
  const result = readRow(text, { line: 1, report, settings });
  return {
    row: result,
    problems: problems
      .problems()
      .map((p) => p.message + (p.place?.key === undefined ? '' : ` @ ${p.place.key}`)),
  };
}

describe('rows for an encoder-decoder', () => {
  const exchange = { kind: 'completion', line: 1, prompt: 'a', completion: 'b' };

  it.each([
    [{ prompt: 'a', completion: 'b' }, exchange],
    [{ input: 'a', output: 'b' }, exchange],
    [{ source: 'a', target: 'b' }, exchange],
    [{ document: 'a', summary: 'b' }, exchange],
    [
      { instruction: 'a', input: 'c', output: 'b' },
      { ...exchange, prompt: 'a\n\nc' },
    ],
    [
      { prompt: 'a', completion: 'b', weight: 2 },
      { ...exchange, weight: 2 },
    ],
  ])('are texts: %j', (row, want) => expect(read(row)).toEqual({ row: want, problems: [] }));

  it.each([
    [{ messages: [{ role: 'user', content: 'a' }] }, /known rows have: prompt and completion/],
    [{ prompt: 'a', completion: 'b', system: 'c' }, /The row is a chat, but an encoder-decoder/],
    [
      {
        prompt: [{ role: 'user', content: 'a' }],
        completion: [
          { role: 'assistant', content: 'b' },
          { role: 'user', content: 'c' },
          { role: 'assistant', content: 'd' },
        ],
      },
      /The row is a chat, but an encoder-decoder/,
    ],
    [{ prompt: 'a', chosen: 'b', rejected: 'c' }, /"completion" is missing|known rows have/],
    [{ text: 'a' }, /known rows have: prompt and completion/],
  ])('are no chats: %j', (row, message) => {
    const { row: result, problems } = read(row);
    expect(result).toBeNull();
    expect(problems.join()).toMatch(message);
  });
});
