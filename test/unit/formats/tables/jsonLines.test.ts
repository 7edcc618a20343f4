import { createHash } from 'node:crypto';
import { appendFileSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { byteSource } from '../../../../src/formats/tables/byteSource';
import { jsonLinesReader } from '../../../../src/formats/tables/jsonLines';
import { openTable } from '../../../../src/formats/tables/openTable';
import { START, type OnBytes, type RawRow } from '../../../../src/formats/tables/table';

const folder = mkdtempSync(path.join(tmpdir(), 'lines-'));
const write = (content: string | Buffer) => {
  const file = path.join(folder, 'data.jsonl');
  writeFileSync(file, content);
  return file;
};
async function readLines(file: string, onRow: (row: RawRow) => void, onBytes?: OnBytes) {
  const table = await openTable(file);
  try {
    return await table.readAll(onRow, onBytes);
  } finally {
    await table.close();
  }
}
/** The lines, whatever the file is. */
async function rowsOf(file: string): Promise<RawRow[]> {
  const rows: RawRow[] = [];
  for await (const batch of jsonLinesReader(byteSource(file, null)).batches(START))
    rows.push(...batch.rows);
  return rows;
}
const textOf = (row: RawRow | null) =>
  row?.kind === 'json' && row.bytes ? row.bytes.toString() : null;
async function linesOf(content: string | Buffer) {
  const rows = await rowsOf(write(content));
  return rows.map((row) => [row.number, textOf(row)] as const);
}
const offsetsOf = async (content: string) => {
  const rows = await rowsOf(write(content));
  return rows.map(({ offset }) => offset);
};

describe('lines', () => {
  it('are numbered, without their line breaks', async () => {
    expect(await linesOf('a\r\n\nb\rc\r\n\r\nd')).toEqual([
      [1, 'a'],
      [3, 'b\rc'],
      [5, 'd'],
    ]);
    expect(await linesOf('a\n')).toEqual([[1, 'a']]);
    expect(await linesOf('')).toEqual([]);
  });

  it('skip a byte order mark at the start of the file only', async () => {
    expect(await linesOf('\uFEFFa\n\uFEFFb')).toEqual([
      [1, 'a'],
      [2, '\uFEFFb'],
    ]);
  });

  it('have the offsets by which they are read again', async () => {
    const content = '\uFEFFä\r\n\nb\nlast';
    expect(await offsetsOf(content)).toEqual([3, 8, 10]);
    const file = write(content.replaceAll(/[äb]|last/g, (row) => `{"text":"${row}"}`));
    const table = await openTable(file);
    const again = await Promise.all([3, 19, 32].map((offset) => table.at({ number: 1, offset })));
    await table.close();
    expect(again.map(textOf)).toEqual(['{"text":"ä"}', '{"text":"b"}', '{"text":"last"}']);
  });

  it('end at LF and CRLF only, whatever else the text has', async () => {
    expect(await linesOf('a\u2028b\u0085c\vd\fe\rf\0g\r\r\n\nh')).toEqual([
      [1, 'a\u2028b\u0085c\vd\fe\rf\0g\r'],
      [3, 'h'],
    ]);
  });

  it('end the reading when the file changes meanwhile', async () => {
    const file = write('{"a":1}\n'.repeat(100_000));
    let appended = false;
    const change = () => {
      if (!appended) appendFileSync(file, 'b\n');
      appended = true;
    };
    await expect(readLines(file, () => undefined, change)).rejects.toMatchObject({
      area: 'dataset',
      message: 'The file was changed while it was read.',
    });
  });

  it('are joined across chunks, and the file is hashed and measured', async () => {
    const long = 'x'.repeat(3 * 2 ** 20 + 5);
    const content = `{${long}\ny\n${long}z`;
    const lines: (readonly [number, string | null])[] = [];
    const fingerprint = await readLines(write(content), (row) => {
      lines.push([row.number, textOf(row)]);
    });
    expect(lines.map(([number, text]) => [number, text!.length])).toEqual([
      [1, long.length + 1],
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
    const lines = await linesOf(
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
});
