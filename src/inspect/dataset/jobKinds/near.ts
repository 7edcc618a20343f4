import path from 'node:path';
import { ImageHashes } from '../../../data/images/imageHashes';
import { Groups } from '../../../data/quality/groups';
import { MOST_COMPARED, NearDuplicates } from '../../../data/quality/nearDuplicates';
import { comparedText } from '../../../data/rows/rowTexts';
import type { Table } from '../../../formats/tables/table';
import { LoraError } from '../../../shared/errors';
import type { JobControl } from '../jobs';
import type { DataResult } from '../questions';
import { readOne, type RowReading } from '../rowReader';
import type { OpenedDataset } from '../opened';
import { allRead } from './find';

/** The part of a comparison that is reading. */
const READING = 0.7;

/** Marks the rows that resemble an earlier one. */
export async function nearJob(
  session: OpenedDataset,
  table: Table,
  control: JobControl,
): Promise<DataResult> {
  await allRead(session, control);
  const likes = await nearRows(session, table, control);
  session.setGroups(likes);
  return { kind: 'near', rows: session.facts.counts.near ?? 0 };
}

/** Of each row, the first of those that it resembles, or itself. */
export async function nearRows(
  { reading, facts }: OpenedDataset,
  table: Table,
  control: JobControl,
): Promise<Int32Array> {
  const near = new NearDuplicates();
  await addRows(near, table, reading, part(control, 0, READING));
  const groups = new Groups(facts.length);
  const compare = part(control, READING, 1);
  await near.search(
    ({ row, like }) => groups.join(row, like),
    async (done) => {
      compare.report(done);
      await compare.pause();
    },
  );
  return Int32Array.from({ length: facts.length }, (_, row) => groups.firstOf(row));
}

/** The texts of all rows of a file; those with errors have none. */
export async function addRows(
  near: NearDuplicates,
  table: Table,
  reading: RowReading,
  control: JobControl,
): Promise<void> {
  const onBytes = (done: number, size: number) => control.report(done / Math.max(1, size));
  const hashes = new ImageHashes();
  const folder = path.dirname(reading.file);
  for await (const batch of table.rows(0, onBytes)) {
    if (near.length + batch.length > MOST_COMPARED)
      throw new LoraError(
        'dataset',
        `Near-duplicates are searched among at most ${MOST_COMPARED} rows, but there are more.`,
        { place: { file: reading.file }, fix: 'Divide the file.' },
      );
    for (const raw of batch) {
      const { row } = readOne(raw, reading);
      near.add(row ? comparedText(row) : '', row ? await hashes.number(row, folder) : 0);
    }
    await control.pause();
  }
}

/** The control of a part of a job. */
export const part = (control: JobControl, from: number, to: number): JobControl => ({
  ...control,
  report: (done) => control.report(from + done * (to - from)),
});
