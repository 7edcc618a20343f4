import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openTable } from '../../../../src/formats/tables/openTable';

const folder = path.resolve('test/fixtures/tables');
/** As make.py in that folder wrote them: chats with calls, nulls, lists of numbers. */
const ROWS = JSON.parse(readFileSync(path.join(folder, 'rows.json'), 'utf8')) as readonly object[];

async function valuesOf(name: string, from = 0) {
  const table = await openTable(path.join(folder, name));
  try {
    const values: unknown[] = [];
    for await (const rows of table.rows(from))
      for (const row of rows) values.push(row.kind === 'values' ? row.values : row);
    return { values, count: table.count, columns: table.columns };
  } finally {
    await table.close();
  }
}

describe.each(['none', 'snappy', 'gzip', 'zstd', 'brotli', 'lz4', 'v2'])('%s.parquet', (name) => {
  it('has the rows that pyarrow wrote', async () => {
    const { values, count, columns } = await valuesOf(`${name}.parquet`);
    expect(values).toEqual(ROWS);
    expect(count).toBe(ROWS.length);
    expect(columns).toEqual(['messages', 'source', 'scores', 'ids', 'flag']);
  });

  it('is read from within a row group', async () => {
    expect((await valuesOf(`${name}.parquet`, 17)).values).toEqual(ROWS.slice(17));
    expect((await valuesOf(`${name}.parquet`, 39)).values).toEqual(ROWS.slice(39));
  });
});
