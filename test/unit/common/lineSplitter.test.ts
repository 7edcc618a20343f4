import { describe, expect, it } from 'vitest';
import { LineSplitter, messageSplitter } from '../../../src/common/lineSplitter';

/** The lines of a text that arrives in chunks of a few bytes. */
function linesOf(text: string, chunkBytes: number, maxBytes = 1000): (string | null)[] {
  const lines: (string | null)[] = [];
  const splitter = new LineSplitter((line) => lines.push(line?.toString('utf8') ?? null), maxBytes);
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += chunkBytes)
    splitter.push(bytes.subarray(at, at + chunkBytes));
  splitter.end();
  return lines;
}

describe('LineSplitter', () => {
  it.each([1, 2, 3, 7, 1000])('splits at LF and CRLF only, in chunks of %i bytes', (chunk) => {
    const text = 'größer\r\n"a\u2028b\u2029c\u0085d\ve\ff\rg"\n\n学习\nlast';
    expect(linesOf(text, chunk)).toEqual([
      'größer',
      '"a\u2028b\u2029c\u0085d\ve\ff\rg"',
      '',
      '学习',
      'last',
    ]);
  });

  it('reports a line that is too long as null, and goes on with the next', () => {
    expect(linesOf('abc\nabcdef\nabcd\n', 2, 4)).toEqual(['abc', null, 'abcd']);
    expect(linesOf('abcdef', 2, 4)).toEqual([null]);
  });

  it('does not invent a last line', () => {
    expect(linesOf('a\n', 1)).toEqual(['a']);
    expect(linesOf('', 1)).toEqual([]);
  });
});

it('a message with line separators of Unicode arrives in one piece', () => {
  const messages: unknown[] = [];
  const splitter = messageSplitter((line) => messages.push(JSON.parse(line)));
  const sent = { prompt: 'a\u2028b\u2029c' };
  splitter.push(Buffer.from(`${JSON.stringify(sent)}\n`));
  expect(messages).toEqual([sent]);
});
