import type { Table } from '../../../formats/tables/table';
import type { JobControl } from '../jobs';
import { readOne } from '../rowReader';
import type { OpenedDataset } from '../opened';
import { allRead } from './find';

/** Rows that are tokenized between two pauses. */
const ROWS_AT_ONCE = 16;

/** Counts the tokens of all rows. */
export async function tokensJob(
  session: OpenedDataset,
  table: Table,
  control: JobControl,
): Promise<null> {
  const { counter, facts, reading } = session;
  if (!counter) return null;
  await allRead(session, control);
  let row = 0;
  const onBytes = (done: number, size: number) => control.report(done / Math.max(1, size));
  for await (const batch of table.rows(0, onBytes))
    for (const raw of batch) {
      if (facts.needsTokens(row)) facts.setTokens(row, counter.count(readOne(raw, reading)));
      row++;
      if (row % ROWS_AT_ONCE === 0) await control.pause();
    }
  return null;
}
