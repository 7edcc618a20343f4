import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { gzipSync } from 'node:zlib';
import { readFeatures } from '../../src/data/features/readFeatures';
import { openTable } from '../../src/formats/tables/openTable';
import type { RawRow, Table } from '../../src/formats/tables/table';
import { LoraError } from '../../src/shared/errors';
import type { Random } from '../../src/shared/random';
import { anyBytes } from './damage';
import { mutateBytes, pick } from './mutate';
import { fixture, type ReaderCase } from './readerCase';

const CSV =
  'prompt,completion,messages\r\n"a ""b""",c,\r\n"two\nlines",d,"[{""role"": ""user""}]"\r\n,,\r\n';
const LIST = `[\n ${JSON.stringify({ text: 'a],[{"' })},\n{"text": "b", "c": [1, [{}]]}\n]\n`;

/** Readers of tables of all formats. */
export const tableCases = (): ReaderCase[] => [
  caseOf('rows.csv', Buffer.from(CSV), 400, damagedText(CSV, [',', '"', '""', '\n', '\r\n', ';'])),
  caseOf(
    'rows.json',
    Buffer.from(LIST),
    400,
    damagedText(LIST, [',', '"', '[', ']', '{', '}', '\\', ' ']),
  ),
  caseOf('rows.jsonl.gz', gzipSync('{"text": "a row"}\n'.repeat(40)), 150, anyBytes),
  ...readdirSync(fixture('tables'))
    .filter((name) => /\.(?:parquet|zst)$/.test(name))
    .map((name) => caseOf(name, readFileSync(fixture('tables', name)), 150, anyBytes)),
];

/** Readers of NumPy's arrays. */
export const arrayCases = (): ReaderCase[] =>
  ['classes.npz', 'targets.npz', 'train_features.npy'].map((target) => ({
    ...{ name: `array ${target}`, inputs: 400, target, damage: anyBytes },
    files: {
      [target]: readFileSync(fixture('npy', target)),
      'train_labels.npy': readFileSync(fixture('npy', 'train_labels.npy')),
    },
    read: async (folder) => {
      await readFeatures(path.join(folder, target), {
        ...{ label: 'label', width: 3, columns: null, collector: { skip: true } },
      });
    },
  }));

const caseOf = (
  target: string,
  bytes: Uint8Array,
  inputs: number,
  damage: ReaderCase['damage'],
): ReaderCase => ({
  name: `table ${target}`,
  inputs,
  files: { [target]: bytes },
  target,
  damage,
  read: (folder) => readInAllWays(path.join(folder, target)),
});

/** Puts parts of the format anywhere into a text, or damages its bytes. */
function damagedText(text: string, parts: readonly string[]): ReaderCase['damage'] {
  return (original, random: Random) => {
    if (random() < 0.4) return mutateBytes(original, [original], random);
    let own = text;
    for (let n = 1 + Math.floor(random() * 3); n > 0; n--) {
      const at = Math.floor(random() * own.length);
      const kept = random() < 0.5 ? at : Math.min(own.length, at + 1);
      own = own.slice(0, at) + pick(parts, random) + own.slice(kept);
    }
    return own;
  };
}

/** Reads a table in all ways, which must agree. @throws LoraError('dataset') */
async function readInAllWays(file: string): Promise<void> {
  const table = await openTable(file);
  try {
    const all: RawRow[] = [];
    await table.readAll((row) => all.push(row));
    expectSame(table.count, all.length, 'the number of rows');
    for (const row of all.slice(0, 50))
      if (row.kind === 'json' && row.bytes)
        expectSame(await table.at(row), row, `the row at ${row.number}`);
    const from = Math.floor(all.length / 2);
    expectSame(await rowsFrom(table, from), all.slice(from), `rows from ${from} on`);
    for (const row of all) checkRow(row, file);
  } finally {
    await table.close();
  }
}

function checkRow(row: RawRow, file: string): void {
  const fault = row.kind === 'fault' ? row.message : jsonFault(row);
  if (fault !== null) throw new LoraError('dataset', fault, { place: { file, row: row.number } });
}

function jsonFault(row: RawRow): string | null {
  if (row.kind !== 'json') return null;
  try {
    JSON.parse(row.bytes?.toString() ?? '');
    return null;
  } catch {
    return 'Not valid JSON.';
  }
}

async function rowsFrom(table: Table, from: number): Promise<RawRow[]> {
  const rows: RawRow[] = [];
  for await (const batch of table.rows(from)) rows.push(...batch);
  return rows;
}

function expectSame(found: unknown, wanted: unknown, what: string): void {
  if (!isDeepStrictEqual(found, wanted)) throw new RangeError(`${what} differ`);
}
