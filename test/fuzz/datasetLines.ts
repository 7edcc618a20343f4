import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { openDataset } from '../../src/data/dataset/dataset';
import { throwErrors } from '../../src/data/dataset/problems';
import type { Row } from '../../src/data/rows/row';
import { ROW_SETTINGS } from '../../src/data/rows/settings';
import type { Random } from '../../src/shared/random';
import { mutateBytes } from './mutate';

const pick = <T>(items: readonly T[], random: Random): T =>
  items[Math.floor(random() * items.length)]!;

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
  for (const [i, row] of again.entries())
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
