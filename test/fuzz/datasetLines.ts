import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { brotliCompressSync, deflateRawSync, gzipSync } from 'node:zlib';
import { openDataset } from '../../src/data/dataset/dataset';
import { throwErrors } from '../../src/data/dataset/problems';
import type { Row } from '../../src/data/rows/row';
import { ROW_SETTINGS } from '../../src/data/rows/settings';
import type { Random } from '../../src/shared/random';
import { mutateBytes, pick } from './mutate';

/** What a line of a data set may be replaced by or joined to. */
const LINES: readonly (string | Buffer)[] = [
  '{"text": "a", "text": "b"}',
  '{"messages": [{"role": "user", "content": "a", "role": "assistant"}]}',
  '{"messages": null, "prompt": "a", "completion": "b", "text": null}',
  '{"messages": null, "text": null}',
  '{"text": "a"}\r{"text": "b"}',
  '{"text": "a\u2028b\u2029c\u0085d"}',
  '\uFEFF{"text": "joined"}',
  '{"text": "\0"}',
  '\0\0\0\0',
  '',
  ' \t\r',
  '{"text": NaN}',
  "{'text': 'a'}",
  '{"text": "\\ud800"}',
  '[{"text": "a"}]',
  '{',
  '{"text": "torn',
  'prompt,completion',
  Buffer.from('{"text": "\xff\xfe"}', 'latin1'),
  Buffer.from('c3', 'hex'),
  Buffer.alloc(70_000, '{"a":'),
];
/** What a file may begin with. */
const STARTS = ['\uFEFF', '1f8b', 'PAR1', '%PDF-1.4\n', '[\n', '<html>\n', '\r\n\n', 'a,b\n'];
const ENDS = ['\n', '\r\n', '\n\n', '\r'];

/** Replaces and adds lines and line ends, or damages any bytes. */
export function damagedLines(original: Buffer, random: Random): Buffer {
  if (random() < 0.2) return Buffer.from(mutateBytes(original, [original], random));
  const lines = original.toString().split('\n').filter(Boolean);
  const parts: (string | Buffer)[] = random() < 0.1 ? [pick(STARTS, random)] : [];
  for (const line of lines) {
    if (random() < 0.4) parts.push(pick(LINES, random), pick(ENDS, random));
    if (random() < 0.9) parts.push(line, random() < 0.9 ? '\n' : pick(ENDS, random));
  }
  if (random() < 0.3) parts.pop();
  return Buffer.concat(parts.map((part) => Buffer.from(part)));
}

const TABLE = 'prompt,completion\na,b\nc,d\n';
const zipHead = (name: string) =>
  Buffer.concat([
    Buffer.from('504b03041400000008000000', 'hex'),
    Buffer.alloc(14),
    Buffer.from(name),
  ]);
/** The first bytes of files that are no data sets, and of such as nearly are. */
const KINDS: readonly (string | Buffer)[] = [
  TABLE,
  TABLE.replaceAll(',', '\t'),
  TABLE.replaceAll(',', ';'),
  `"prompt","completion"\r\n"a ""b""","c\nd"\r\n`,
  Buffer.from(TABLE, 'utf16le'),
  Buffer.concat([Buffer.from('fffe', 'hex'), Buffer.from('{"text": "a"}', 'utf16le')]),
  gzipSync(TABLE),
  gzipSync('{"text": "a"}\n'.repeat(1000)),
  gzipSync(Buffer.alloc(50_000_000), { level: 9 }), // a bomb, if it were unpacked
  deflateRawSync(TABLE),
  brotliCompressSync(TABLE),
  Buffer.concat([Buffer.from('PAR1'), Buffer.alloc(500, 21), Buffer.from('PAR1')]),
  Buffer.from('28b52ffd', 'hex'),
  Buffer.from('fd377a585a00', 'hex'),
  Buffer.from('BZh91AY&SY'),
  Buffer.concat([Buffer.alloc(257, 'a'), Buffer.from('ustar\0')]),
  zipHead('xl/workbook.xml'),
  zipHead('[Content_Types].xml'),
  Buffer.from('ffffffff30000000', 'hex'),
  'ARROW1\0\0',
  'SQLite format 3\0',
  'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n',
  '<!DOCTYPE html><html>',
  '<?xml version="1.0"?>\n<a/>\n',
  'Some text.\nMore of it.\n',
  '',
];

/** A file of another kind, maybe damaged, and maybe with the lines of a data set in it. */
export function otherKinds(original: Buffer, random: Random): Buffer {
  const own = Buffer.from(pick(KINDS, random));
  const head = random() < 0.4 ? own : Buffer.from(mutateBytes(own, [original], random));
  const kind = random();
  if (kind < 0.3) return head;
  return Buffer.concat(kind < 0.8 ? [head, original] : [original, head]);
}

/** Each opens the file, and unpacks a packed one from its start. */
const MOST_LOOKED_UP = 100;

/**
 * Reads a data set in all ways, which must agree: each row again by its place, the rows without the
 * faulty ones, and the problems by lines that the file has.
 *
 * @throws LoraError('dataset') with its errors
 */
export async function readInAllWays(file: string): Promise<void> {
  const first: Row[] = [];
  const dataset = await openDataset(file, ROW_SETTINGS, (row) => first.push(row));
  const again: Row[] = [];
  const places: number[] = [];
  await dataset.forEachRow((row, offset) => {
    again.push(row);
    places.push(offset);
  });
  for (const [i, row] of again.slice(0, MOST_LOOKED_UP).entries())
    expectSame(await dataset.rowAt(row.line, places[i]!), row, `row at line ${row.line}`);
  expectSame(again, dataset.fingerprint ? first : [], 'the rows when they are read again');
  const skipping = await openDataset(file, { ...ROW_SETTINGS, skip_faulty_rows: true });
  expectSame(skipping.rows, dataset.rows, 'the number of rows without the faulty ones');
  const lines = readFileSync(file, 'latin1').split('\n').length;
  for (const { place } of dataset.problems)
    if (place?.line !== undefined && (place.line < 1 || place.line > lines))
      throw new RangeError(`a problem at line ${place.line} of ${lines}`);
  throwErrors(dataset.problems);
}

function expectSame(found: unknown, wanted: unknown, what: string): void {
  if (!isDeepStrictEqual(found, wanted))
    throw new RangeError(`${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
}
