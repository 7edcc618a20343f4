import type { Table } from '../../../formats/tables/table';
import type { RowFilter } from '../../../shared/pages/data/protocol';
import type { JobControl } from '../jobs';
import { matcherOf, TESTED_AT_ONCE } from '../matcher';
import { readOne, searchedText } from '../rowReader';
import type { OpenedDataset } from '../opened';
import type { View } from '../view';

/** Rows that are looked at between two pauses, where nothing is read. */
const ROWS_AT_ONCE = 50_000;

/** Fills a view with the rows that fit, in order. */
export async function findJob(
  session: OpenedDataset,
  table: Table,
  { wanted, rows }: View,
  control: JobControl,
): Promise<null> {
  if (!rows) return null;
  const { filter, text } = wanted;
  const matcher = text === '' ? null : matcherOf(wanted);
  await allRead(session, control);
  if (!matcher) {
    const { length } = session.facts;
    for (let row = 0; row < length; row++) {
      if (passes(session, filter, row)) rows.push(row);
      if (row % ROWS_AT_ONCE !== 0) continue;
      control.report(row / length);
      await control.pause();
    }
    return null;
  }
  let row = 0;
  const onBytes = (done: number, size: number) => control.report(done / Math.max(1, size));
  for await (const batch of table.rows(0, onBytes)) {
    for (let start = 0; start < batch.length; start += TESTED_AT_ONCE) {
      const part = batch.slice(start, start + TESTED_AT_ONCE);
      const texts = part.map((raw) => searchedText(readOne(raw, session.reading)));
      const found = matcher(texts);
      found.forEach((isFound, i) => {
        if (isFound && passes(session, filter, row + i)) rows.push(row + i);
      });
      row += part.length;
      await control.pause();
    }
  }
  return null;
}

/** Filters need what the first reading finds. */
export async function allRead(session: OpenedDataset, control: JobControl): Promise<void> {
  while (session.jobs.isRunning('facts')) await control.pause();
}

function passes({ facts, limit }: OpenedDataset, filter: RowFilter, row: number): boolean {
  switch (filter) {
    case 'all':
      return true;
    case 'faults':
      return facts.isFaulty(row);
    case 'twins':
      return facts.twinAt(row) !== null;
    case 'near':
      return facts.likeAt(row) !== null;
    case 'cut':
      return (facts.tokensAt(row) ?? 0) > limit;
    case 'excluded':
      return facts.isExcluded(row);
  }
}
