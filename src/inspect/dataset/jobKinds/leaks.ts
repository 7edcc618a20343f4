import path from 'node:path';
import { DuplicateFinder } from '../../../data/dataset/duplicates';
import { ImageHashes } from '../../../data/images/imageHashes';
import { NearDuplicates } from '../../../data/quality/nearDuplicates';
import { openTable } from '../../../formats/tables/openTable';
import type { Table } from '../../../formats/tables/table';
import type { Leak } from '../../../shared/pages/data/protocol';
import type { JobControl } from '../jobs';
import type { DataResult } from '../questions';
import { readOne, type RowReading } from '../rowReader';
import type { OpenedDataset } from '../opened';
import { allRead } from './find';
import { addRows, part } from './near';

const MOST_LISTED = 200;

/** Finds the rows of another file that equal or resemble a row of the dataset. */
export async function leaksJob(
  session: OpenedDataset,
  table: Table,
  { other }: { readonly other: string },
  control: JobControl,
): Promise<DataResult> {
  await allRead(session, control);
  const held = await openTable(other);
  try {
    const reading = { ...session.reading, file: other, unit: held.unit };
    const found = await equalRows(session, [table, held], reading, part(control, 0, 0.4));
    const equal = found.size;
    const { near, rows } = await compared([table, held], session.reading, part(control, 0.4, 0.8));
    const boundary = session.facts.length;
    const numbers = await numbersOf(held, control);
    await near.search(
      ({ row, like, likeness }) => {
        const at = row - boundary;
        const known = found.get(at);
        if (known && known.likeness >= likeness) return;
        const number = session.facts.numberAt(like);
        // a signature that is the same does not make a text the same
        found.set(at, { number: numbers[at]!, like: number, likeness: Math.min(0.999, likeness) });
      },
      async (done) => {
        control.report(0.8 + 0.2 * done);
        await control.pause();
      },
      boundary,
    );
    const listed = [...found.values()].sort((a, b) => b.likeness - a.likeness);
    const shown = listed.slice(0, MOST_LISTED);
    return { kind: 'leaks', other, rows, equal, near: found.size - equal, listed: shown };
  } finally {
    await held.close();
  }
}

type Both = readonly [Table, Table];

/** Rows of the other file with the content of a row of the dataset, by their places. */
async function equalRows(
  session: OpenedDataset,
  [table, held]: Both,
  reading: RowReading,
  control: JobControl,
): Promise<Map<number, Leak>> {
  const found = new Map<number, Leak>();
  const finder = new DuplicateFinder();
  const hashes = new ImageHashes();
  const own = part(control, 0, 0.5);
  // a line of the other file must differ from all of the dataset
  const beyond = session.facts.length === 0 ? 0 : session.facts.numberAt(session.facts.length - 1);
  const folder = path.dirname(session.reading.file);
  await eachRow(table, session.reading, own, async (read) => {
    if (read) finder.find(await hashes.named(read, folder));
  });
  let at = 0;
  await eachRow(held, reading, part(control, 0.5, 1), async (read) => {
    const row = read && (await hashes.named(read, path.dirname(reading.file)));
    const known = row && finder.find({ ...row, line: row.line + beyond });
    if (known && known.first <= beyond)
      found.set(at, { number: row.line, like: known.first, likeness: 1 });
    at++;
  });
  return found;
}

async function eachRow(
  table: Table,
  reading: RowReading,
  control: JobControl,
  onRow: (row: ReturnType<typeof readOne>['row']) => Promise<void>,
): Promise<void> {
  const onBytes = (done: number, size: number) => control.report(done / Math.max(1, size));
  for await (const batch of table.rows(0, onBytes)) {
    for (const raw of batch) await onRow(readOne(raw, reading).row);
    await control.pause();
  }
}

/** The texts of both files, those of the dataset first. */
async function compared([table, held]: Both, reading: RowReading, control: JobControl) {
  const near = new NearDuplicates();
  await addRows(near, table, reading, part(control, 0, 0.6));
  const own = near.length;
  await addRows(
    near,
    held,
    { ...reading, file: held.path, unit: held.unit },
    part(control, 0.6, 1),
  );
  return { near, rows: near.length - own };
}

async function numbersOf(table: Table, control: JobControl): Promise<number[]> {
  const numbers: number[] = [];
  for await (const batch of table.rows(0)) {
    for (const { number } of batch) numbers.push(number);
    await control.pause();
  }
  return numbers;
}
