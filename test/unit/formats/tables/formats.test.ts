import { appendFileSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, it } from 'vitest';
import { openTable } from '../../../../src/formats/tables/openTable';
import type { RawRow, Table } from '../../../../src/formats/tables/table';
import { zstdFrame } from '../../../support/zstd';

const folder = mkdtempSync(path.join(tmpdir(), 'tables-'));
const write = (name: string, content: string | Uint8Array) => {
  const file = path.join(folder, name);
  writeFileSync(file, content);
  return file;
};

async function withTable<T>(file: string, use: (table: Table) => Promise<T>): Promise<T> {
  const table = await openTable(file);
  try {
    return await use(table);
  } finally {
    await table.close();
  }
}

const contentOf = (row: RawRow): unknown => {
  if (row.kind === 'json') return row.bytes && JSON.parse(row.bytes.toString());
  return row.kind === 'values' ? row.values : row.message;
};
const rowsOf = (file: string) =>
  withTable(file, async (table) => {
    const rows: RawRow[] = [];
    await table.readAll((row) => rows.push(row));
    return rows;
  });
const contents = async (file: string) => (await rowsOf(file)).map(contentOf);
const faultOf = (file: string) =>
  rowsOf(file).then(
    () => 'read',
    (error: unknown) => String(error),
  );

const ROWS = Array.from({ length: 3000 }, (_, i) => ({
  prompt: `question ${i}`,
  completion: i % 7 === 0 ? `two\nlines, "quoted" ä ${i}` : `answer ${i}`,
}));
const JSON_LINES = ROWS.map((row) => `${JSON.stringify(row)}\n`).join('');
const csvCell = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const CSV = `\uFEFFprompt,completion\r\n${ROWS.map((row) => `${csvCell(row.prompt)},${csvCell(row.completion)}\r\n`).join('')}`;
const parquet = (codec: 'UNCOMPRESSED' | 'SNAPPY', rowGroupSize = 700) =>
  new Uint8Array(
    parquetWriteBuffer({
      columnData: [
        { name: 'prompt', data: ROWS.map(({ prompt }) => prompt), type: 'STRING' },
        { name: 'completion', data: ROWS.map(({ completion }) => completion), type: 'STRING' },
      ],
      codec,
      rowGroupSize,
    }),
  );

const FILES: readonly (readonly [string, string | Uint8Array])[] = [
  ['rows.jsonl', JSON_LINES],
  ['rows.jsonl.gz', gzipSync(JSON_LINES)],
  [
    'two.jsonl.gz',
    Buffer.concat([gzipSync(JSON_LINES.slice(0, 999)), gzipSync(JSON_LINES.slice(999))]),
  ],
  ['rows.jsonl.zst', zstdFrame(Buffer.from(JSON_LINES))],
  ['rows.json', JSON.stringify(ROWS, null, 2)],
  ['line.json', `\uFEFF ${JSON.stringify(ROWS)}\n`],
  ['rows.csv', CSV],
  ['rows.csv.gz', gzipSync(CSV)],
  ['rows.tsv', CSV.replaceAll(/,(?! "")/g, '\t')],
  ['semicolon.csv', CSV.replaceAll(/,(?! "")/g, ';')],
  ['plain.parquet', parquet('UNCOMPRESSED')],
  ['snappy.parquet', parquet('SNAPPY')],
];

describe.each(FILES)('the rows of %s', (name, content) => {
  const file = write(name, content);

  it('are read in order, and again by their places', async () => {
    const rows = await rowsOf(file);
    expect(rows.map(contentOf)).toEqual(ROWS);
    await withTable(file, async (table) => {
      for (const i of [0, 1, 699, 700, 1777, 2999])
        expect(contentOf((await table.at(rows[i]!))!)).toEqual(ROWS[i]);
    });
  });

  it('are read from any row on, before and after they are counted', async () => {
    await withTable(file, async (table) => {
      const firstFrom = async (from: number) => {
        for await (const rows of table.rows(from)) return contentOf(rows[0]!);
        return 'none';
      };
      expect(await firstFrom(2500)).toEqual(ROWS[2500]);
      expect(await table.countRows()).toBe(3000);
      expect(table.count).toBe(3000);
      for (const from of [0, 1, 699, 700, 1777, 2999])
        expect(await firstFrom(from)).toEqual(ROWS[from]);
      expect(await firstFrom(3000)).toBe('none');
    });
  });
});

describe('CSV', () => {
  it('has text as text, nothing as null, and lists where a column must be one', async () => {
    const file = write(
      'types.csv',
      'text,label,messages,\n007,1.0,"[{""role"": ""user"", ""content"": ""a""}]",x\n"[1]",,[no,NaN\n',
    );
    expect(await contents(file)).toEqual([
      {
        text: '007',
        label: '1.0',
        messages: [{ role: 'user', content: 'a' }],
        'column 4': 'x',
      },
      { text: '[1]', label: null, messages: '[no', 'column 4': 'NaN' },
    ]);
  });

  it('reports rows that do not fit, by their lines', async () => {
    const file = write('ragged.csv', 'a,b\n1,2\n"two\nlines",x\n\n3\n4,5,6\n7,"8\n9,10\n');
    const rows = await rowsOf(file);
    expect(rows.map((row) => [row.number, contentOf(row)])).toEqual([
      [2, { a: '1', b: '2' }],
      [3, { a: 'two\nlines', b: 'x' }],
      [6, 'The row has 1 cell, but the first line names 2 columns.'],
      [7, 'The row has 3 cells, but the first line names 2 columns.'],
      [8, 'A quoted cell that begins in this row does not end: its closing quote is missing.'],
    ]);
  });

  it('reports bytes that are not UTF-8, and keeps the rows around them', async () => {
    const file = write(
      'latin1.csv',
      Buffer.concat([
        Buffer.from('a,b\n1,2\n'),
        Buffer.from('ä,x\n', 'latin1'),
        Buffer.from('3,4\n'),
      ]),
    );
    expect(await contents(file)).toEqual([
      { a: '1', b: '2' },
      'The row is not valid UTF-8: save the file as UTF-8.',
      { a: '3', b: '4' },
    ]);
  });

  it('is refused with two columns of one name', async () => {
    expect(await faultOf(write('twice.csv', 'a,a\n1,2\n'))).toContain(
      'Two columns have the name "a"',
    );
  });
});

describe('a JSON list', () => {
  it.each([
    ['cut.json', '[{"a":1},\n{"a":', 'does not end with "]"'],
    ['comma.json', '[{"a":1},]', 'missing before or after a comma'],
    ['more.json', '[{"a":1}] x', 'more text after'],
  ])('reports %s by its row', async (name, content, message) => {
    const rows = await rowsOf(write(name, content));
    expect(rows[0]).toMatchObject({ number: 1, kind: 'json' });
    expect(rows.at(-1)).toMatchObject({
      kind: 'fault',
      message: expect.stringContaining(message) as unknown,
    });
  });

  it('splits at its own commas only', async () => {
    const list = [{ a: '],[{"', b: [1, [2, 3]], c: { d: '\\' } }, { a: '\\"' }, {}];
    expect(await contents(write('hard.json', JSON.stringify(list)))).toEqual(list);
    expect(await contents(write('empty.json', ' [ ] '))).toEqual([]);
  });
});

describe('Parquet', () => {
  it('has lists and structs as JSON has them', async () => {
    const messages = [
      [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: null },
      ],
      [],
    ];
    const file = write(
      'nested.parquet',
      new Uint8Array(
        parquetWriteBuffer({
          columnData: [
            { name: 'messages', data: messages, type: 'JSON' },
            { name: 'count', data: [3n, 2n ** 60n], type: 'INT64' },
            { name: 'score', data: [0.5, NaN], type: 'DOUBLE' },
          ],
        }),
      ),
    );
    expect(await contents(file)).toEqual([
      { messages: messages[0], count: 3, score: 0.5 },
      { messages: messages[1], count: 2n ** 60n, score: null },
    ]);
  });

  it('is refused when it is damaged, in one message', async () => {
    const whole = parquet('SNAPPY');
    expect(await faultOf(write('cut.parquet', whole.slice(0, 5000)))).toMatch(
      /The Parquet file is damaged/,
    );
    const changed = whole.slice();
    changed.fill(0xff, 300, 400);
    expect(await faultOf(write('changed.parquet', changed))).toMatch(/The Parquet.* is damaged/);
  });
});

describe('packed text', () => {
  it('is refused when it is cut off', async () => {
    const gz = gzipSync(JSON_LINES);
    expect(await faultOf(write('cut.jsonl.gz', gz.subarray(0, gz.length - 20)))).toMatch(
      /cannot be unpacked \(gzip\)/,
    );
    const zst = zstdFrame(Buffer.from(JSON_LINES));
    expect(await faultOf(write('cut.jsonl.zst', zst.subarray(0, zst.length - 20)))).toMatch(
      /cannot be unpacked \(zstd\)/,
    );
  });

  it('is not unpacked without end', async () => {
    const bomb = Buffer.alloc(40_000, 0);
    const frame = zstdFrame(Buffer.from('x'), { repeatedBlocks: 20_000 });
    expect(await faultOf(write('bomb.jsonl.zst', Buffer.concat([frame, bomb])))).toMatch(
      /cannot be unpacked \(zstd\): it unpacks to thousands of times its size/,
    );
  });
});

it('a file that changes while it is read is refused, whatever its format', async () => {
  for (const [name, content] of FILES) {
    const file = write(`changing-${name}`, content);
    const reading = withTable(file, (table) =>
      table.readAll(
        () => undefined,
        () => appendFileSync(file, 'x'),
      ),
    );
    await expect(reading, name).rejects.toMatchObject({ area: 'dataset' });
  }
});
