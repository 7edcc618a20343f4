import { createHash } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readLines } from '../../../../src/data/dataset/lines';

const folder = mkdtempSync(path.join(tmpdir(), 'lines-'));
const write = (content: string | Buffer) => {
  const file = path.join(folder, 'data.jsonl');
  writeFileSync(file, content);
  return file;
};
async function linesOf(content: string | Buffer) {
  const lines: [number, string | null][] = [];
  const fingerprint = await readLines(write(content), ({ number, bytes }) => {
    lines.push([number, bytes && bytes.toString()]);
  });
  return { lines, fingerprint };
}

describe('lines', () => {
  it('are numbered, without their line breaks', async () => {
    expect((await linesOf('a\r\n\nb\rc\r\n\r\nd')).lines).toEqual([
      [1, 'a'],
      [2, ''],
      [3, 'b\rc'],
      [4, ''],
      [5, 'd'],
    ]);
    expect((await linesOf('a\n')).lines).toEqual([[1, 'a']]);
    expect((await linesOf('')).lines).toEqual([]);
  });

  it('skip a byte order mark at the start of the file only', async () => {
    expect((await linesOf('\uFEFFa\n\uFEFFb')).lines).toEqual([
      [1, 'a'],
      [2, '\uFEFFb'],
    ]);
  });

  it('are joined across chunks, and the file is hashed and measured', async () => {
    const long = 'x'.repeat(3 * 2 ** 20 + 5);
    const content = `${long}\ny\n${long}z`;
    const { lines, fingerprint } = await linesOf(content);
    expect(lines.map(([number, text]) => [number, text!.length])).toEqual([
      [1, long.length],
      [2, 1],
      [3, long.length + 1],
    ]);
    expect(lines[2]![1]!.endsWith('xz')).toBe(true);
    expect(fingerprint).toEqual({
      file: path.join(folder, 'data.jsonl'),
      size: content.length,
      sha256: createHash('sha256').update(content).digest('hex'),
    });
  });

  it('are not kept if longer than 64 MiB', async () => {
    const most = Buffer.alloc(64 * 2 ** 20, 'x');
    const { lines } = await linesOf(
      Buffer.concat([most, Buffer.from('\na\n'), most, Buffer.from('x\nb')]),
    );
    expect(lines.map(([number, text]) => [number, text === null ? null : text.length])).toEqual([
      [1, 64 * 2 ** 20],
      [2, 1],
      [3, null],
      [4, 1],
    ]);
  });
});

describe('readLines rejects', () => {
  const fault = (file: string) =>
    readLines(file, () => undefined).then(
      () => 'read',
      (error: unknown) => error,
    );

  it('a missing file and a folder', async () => {
    const missing = path.join(folder, 'missing');
    expect(await fault(missing)).toMatchObject({
      area: 'dataset',
      message: 'The file does not exist.',
      place: { file: missing },
    });
    expect(await fault(path.join(write('a'), 'below'))).toMatchObject({
      message: 'The file does not exist.',
    });
    expect(await fault(folder)).toMatchObject({
      message: expect.stringContaining('is a folder') as unknown,
    });
    expect(await fault('a\0b')).toMatchObject({
      message: expect.stringContaining('cannot be read') as unknown,
    });
  });

  it('UTF-16 of either byte order', async () => {
    for (const mark of [
      [0xff, 0xfe],
      [0xfe, 0xff],
    ])
      expect(await fault(write(Buffer.from([...mark, 0x61, 0])))).toMatchObject({
        message: expect.stringContaining('UTF-16') as unknown,
      });
    expect(await fault(write(Buffer.from([0xff, 0x61])))).toBe('read');
  });
});
