import { rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { createFile, writeAll } from '../../../common/atomicWrite';
import { pathExists } from '../../../common/fileStatus';
import { Groups } from '../../../data/quality/groups';
import { drawGroups } from '../../../data/quality/splitGroups';
import { onOneLine } from '../../../data/rows/jsonFields';
import type { Table } from '../../../formats/tables/table';
import { LoraError } from '../../../shared/errors';
import type { JobControl } from '../jobs';
import type { DataResult, DataWork } from '../questions';
import { jsonOf } from '../rowReader';
import type { OpenedDataset } from '../opened';
import { allRead } from './find';
import { nearRows, part } from './near';

/** Bytes that are written at once. */
const WRITTEN_BYTES = 2 ** 20;

type SplitWork = Extract<DataWork, { job: 'split' }>;

/**
 * Writes the rows into a file for training and one for validation: those that equal or resemble
 * each other into the same one. Excluded rows are in neither.
 *
 * @throws LoraError('usage') where one of the files exists
 */
export async function splitJob(
  session: OpenedDataset,
  table: Table,
  work: SplitWork,
  control: JobControl,
): Promise<DataResult> {
  for (const file of [work.train, work.validation]) await refuseExisting(file);
  await allRead(session, control);
  const { facts } = session;
  for (let row = 0; row < facts.length; row++)
    if (facts.isFaulty(row) && !facts.isExcluded(row)) throw faulty(session);
  const groups = await rowGroups(session, table, part(control, 0, 0.7));
  const rows = Int32Array.from({ length: facts.length }, (_, row) => row).filter(
    (row) => !facts.isExcluded(row),
  );
  const drawn = drawGroups(rows, groups, work);
  const isHeld = new Uint8Array(facts.length).fill(2);
  rows.forEach((row, i) => (isHeld[row] = drawn[i]!));
  const held = drawn.reduce((sum, own) => sum + own, 0);
  if (held === 0) throw inseparable(session);
  await createFile(work.validation, (handle) =>
    writeRows(handle, table, (row) => isHeld[row] === 1, part(control, 0.7, 0.8)),
  );
  await createFile(work.train, (handle) =>
    writeRows(handle, table, (row) => isHeld[row] === 0, part(control, 0.8, 1)),
  ).catch(async (error: unknown) => {
    await rm(work.validation, { force: true });
    throw error;
  });
  return {
    kind: 'split',
    train: work.train,
    validation: work.validation,
    trainRows: rows.length - held,
    validationRows: held,
    excluded: facts.length - rows.length,
  };
}

/** Rows that belong together: those with the same content, and near-duplicates. */
async function rowGroups(session: OpenedDataset, table: Table, control: JobControl) {
  const { facts } = session;
  const likes = session.groups ?? (await nearRows(session, table, control));
  const groups = new Groups(facts.length);
  likes.forEach((like, row) => groups.join(row, like));
  const byNumber = new Map<number, number>();
  for (let row = 0; row < facts.length; row++) {
    const twin = facts.twinAt(row);
    const first = twin === null ? undefined : byNumber.get(twin);
    if (first !== undefined) groups.join(row, first);
    byNumber.set(facts.numberAt(row), row);
  }
  return groups;
}

async function writeRows(
  handle: FileHandle,
  table: Table,
  isWanted: (row: number) => boolean,
  control: JobControl,
): Promise<void> {
  let [row, length] = [0, 0];
  let parts: Buffer[] = [];
  const flush = async () => {
    await writeAll(handle, Buffer.concat(parts));
    [parts, length] = [[], 0];
  };
  const onBytes = (done: number, size: number) => control.report(done / Math.max(1, size));
  for await (const batch of table.rows(0, onBytes)) {
    for (const raw of batch) {
      if (!isWanted(row++)) continue;
      const line = Buffer.from(`${onOneLine(jsonOf(raw))}\n`);
      parts.push(line);
      length += line.length;
    }
    if (length >= WRITTEN_BYTES) await flush();
    await control.pause();
  }
  await flush();
}

async function refuseExisting(file: string): Promise<void> {
  if (!(await pathExists(file))) return;
  throw new LoraError('usage', `${path.basename(file)} exists already.`, {
    place: { file },
    fix: 'Move or delete it first.',
  });
}

const faulty = (session: OpenedDataset): LoraError =>
  new LoraError('dataset', 'Rows with errors cannot be divided.', {
    ...session.placed(),
    fix: 'Correct them, or exclude them.',
  });

const inseparable = (session: OpenedDataset): LoraError =>
  new LoraError('dataset', 'All rows resemble each other, so that any split would leak.', {
    ...session.placed(),
    fix: 'Add other rows.',
  });
