import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { otherKindOf } from '../../../../src/formats/tables/fileKind';
import { scanDataset } from '../../../support/scannedRows';
import { storedZip } from '../../../../src/common/storedZip';

const ROW = '{"text": "a row"}\n';
const nameOf = (content: string | Buffer) => otherKindOf(Buffer.from(content))?.name ?? null;

describe('a file that is no dataset', () => {
  it.each<readonly [string, string | Buffer, string]>([
    ['gzip', gzipSync(ROW), 'compressed with gzip'],
    ['zstd', Buffer.from('28b52ffd2412', 'hex'), 'compressed with zstd'],
    ['Parquet', 'PAR1\x15\x04', 'a Parquet file'],
    ['an Arrow file', 'ARROW1\0\0', 'an Arrow file'],
    ['an Arrow stream', Buffer.from('ffffffff10000000', 'hex'), 'an Arrow file'],
    ['PDF', '%PDF-1.7\n', 'a PDF document'],
    ['SQLite', 'SQLite format 3\0', 'a SQLite database'],
    ['UTF-16 little endian', Buffer.from(`\uFEFF${ROW}`, 'utf16le'), 'text in UTF-16'],
    ['UTF-16 without a mark', Buffer.from(ROW, 'utf16le'), 'text in UTF-16'],
    ['UTF-16 big endian', Buffer.from(ROW, 'utf16le').swap16(), 'text in UTF-16'],
    ['NUL bytes', Buffer.alloc(5000), 'empty apart from NUL bytes'],
    ['a web page', '\n<!DOCTYPE html>\n<html></html>', 'a web page (HTML)'],
    ['XML', '<?xml version="1.0"?>\n<rows/>', 'an XML file'],
    [
      'a Git LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n',
      'a Git LFS pointer',
    ],
    ['CSV', 'prompt,completion\n"a, b",c\nd,e\n', 'a CSV file'],
    ['CSV with a mark', '\uFEFFprompt;completion\r\na;b\r\n', 'a CSV file'],
    ['TSV', 'text\tlabel\na b, c\tx\n', 'a TSV file'],
    ['plain text', 'Once upon a time, there was a mill.\nIt was old.\n', 'plain text'],
  ])('is named: %s', (_, content, name) => {
    expect(nameOf(content)).toContain(name);
  });

  it('is named: zip and XLSX', () => {
    expect(nameOf(storedZip({ 'data.jsonl': ROW }))).toBe('a zip archive');
    expect(nameOf(storedZip({ '[Content_Types].xml': '', 'xl/workbook.xml': '' }))).toBe(
      'an Excel file (XLSX)',
    );
  });

  it('is reported once, with what to do', async () => {
    const file = path.join(mkdtempSync(path.join(tmpdir(), 'kind-')), 'data.jsonl');
    writeFileSync(file, `prompt,completion\n${'a,b\n'.repeat(20_000)}`);
    expect((await scanDataset(file)).problems).toEqual([
      {
        severity: 'error',
        place: { file },
        message: expect.stringMatching(
          /^The file is a CSV file, not JSON Lines\. Rename it/,
        ) as unknown,
      },
    ]);
  });
});

it('leaves rows of JSON alone, also faulty ones', () => {
  for (const content of [
    '',
    '\n\n',
    ROW,
    `\uFEFF\r\n${ROW}`,
    `garbage, more\n${ROW}`,
    `{'text': 'a'}\n{'text': 'b'}\n`,
    '[\n{"text": "a"}\n]',
    '"text": "a"\n"text": "b"\n',
    '{"text": "日本語"}\n'.repeat(100),
    `{"text": "\0"}\n`,
    'one line',
  ])
    expect([content, nameOf(content)]).toEqual([content, null]);
});
