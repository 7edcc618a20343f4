import {
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';
import { excludedFileOf, readExcluded } from '../../../../src/formats/excludedRows';
import { answerData } from '../../../../src/inspect/dataset/answer';
import type {
  DataProgress,
  DataQuestions,
  DataWork,
} from '../../../../src/inspect/dataset/questions';
import type { RowFilter } from '../../../../src/shared/pages/data/protocol';

let folder: string;
let files = 0;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lora-data-page-'));
});
afterAll(() => rm(folder, { recursive: true }));

type Asked<K extends keyof DataQuestions> = Omit<DataQuestions[K]['asked'], 'file'>;

/** A dataset that is open as its page opens it. */
class Opened {
  constructor(readonly file: string) {}

  async ask<K extends keyof DataQuestions>(kind: K, asked: Asked<K>) {
    const question = { kind, asked: { ...asked, file: this.file } };
    return (await answerData(question as never)) as DataQuestions[K]['answer'];
  }

  /** Waits for all jobs; what they had to say comes along. */
  async done(): Promise<DataProgress> {
    const ends: DataProgress['ends'][number][] = [];
    for (;;) {
      const progress = await this.ask('dataProgress', {});
      ends.push(...progress.ends);
      if (progress.jobs.length === 0) return { ...progress, ends };
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async run(work: DataWork): Promise<DataProgress> {
    await this.ask('dataStart', { work });
    return this.done();
  }

  async rows(from = 0, count = 50, measure = false) {
    const { view } = await this.ask('dataProgress', {});
    return (await this.ask('dataRows', { view, from, count, measure })).rows;
  }

  async found(filter: RowFilter, text = '', isPattern = false): Promise<number[]> {
    await this.run({ job: 'find', wanted: { filter, text, isPattern, matchCase: false } });
    return (await this.rows()).map(({ number }) => number);
  }
}

async function open(content: string, name = `${++files}.jsonl`): Promise<Opened> {
  const file = path.join(folder, name);
  await writeFile(file, content);
  const opened = new Opened(file);
  await opened.ask('dataOpen', { settings: ROW_SETTINGS });
  return opened;
}

const qa = (prompt: string, completion: string) => JSON.stringify({ prompt, completion });
const LONG =
  'Every word of this answer is the same as that of the other row, but for the last one: ';

const ROWS = [
  qa('What is LoRA?', 'An adapter of low rank.'),
  '',
  qa('Was ist LoRA?', 'Ein Adapter von kleinem Rang.'),
  '{"prompt": "broken"',
  qa('What is LoRA?', 'An adapter of low rank.'),
  qa('Tell me', `${LONG}one.`),
  qa('Tell me', `${LONG}two.`),
].join('\n');

describe('a dataset that is open', () => {
  test('has rows, faults, duplicates and statistics', async () => {
    const data = await open(ROWS);
    const progress = await data.done();
    expect(progress).toMatchObject({
      total: 6,
      isComplete: true,
      counts: { all: 6, faults: 1, twins: 1, near: null, cut: null, excluded: 0 },
    });
    const rows = await data.rows();
    expect(rows.map(({ number }) => number)).toEqual([1, 3, 4, 5, 6, 7]);
    expect(rows[0]).toMatchObject({
      turns: [
        { role: 'user', text: 'What is LoRA?' },
        { role: 'assistant', text: 'An adapter of low rank.' },
      ],
      length: 36,
      fault: null,
      twin: null,
    });
    expect(rows[2]!.fault).toContain('Not valid JSON');
    expect(rows[3]!.twin).toBe(1);
    const statistics = await data.ask('dataStatistics', {});
    expect(statistics).toMatchObject({
      rows: 6,
      lengthUnit: 'characters',
      roles: [
        { name: 'user', count: 5 },
        { name: 'assistant', count: 5 },
      ],
      scripts: [{ name: 'Latin', count: 5 }],
    });
    expect(statistics!.faults).toHaveLength(1);
  });

  test('is filtered and searched', async () => {
    const data = await open(ROWS);
    await data.done();
    expect(await data.found('faults')).toEqual([4]);
    expect(await data.found('twins')).toEqual([5]);
    expect(await data.found('all', 'LORA')).toEqual([1, 3, 5]);
    expect(await data.found('twins', 'lora')).toEqual([5]);
    expect(await data.found('all', '^what\\s+is', true)).toEqual([1, 5]);
    expect(await data.found('all', 'bröken')).toEqual([]);
    expect(await data.found('all')).toHaveLength(6);
  });

  test('ends a regular expression that never ends, and refuses one that is not valid', async () => {
    const data = await open(`${qa('a', 'a'.repeat(60))}\n`);
    await data.done();
    const find = (text: string) =>
      data.run({ job: 'find', wanted: { filter: 'all', text, isPattern: true, matchCase: false } });
    expect((await find('a{60}$')).ends).toEqual([]);
    const [slow] = (await find('(a+)+b')).ends;
    expect(slow).toMatchObject({ kind: 'failed', error: { area: 'usage' } });
    expect(JSON.stringify(slow)).toContain('takes too long');
    expect(JSON.stringify((await find('(')).ends)).toContain('not valid');
  });

  test('has near-duplicates', async () => {
    const data = await open(ROWS);
    const { counts, ends } = await data.run({ job: 'near' });
    expect(counts.near).toBe(1);
    expect(ends).toEqual([{ kind: 'near', rows: 1 }]);
    expect(await data.found('near')).toEqual([7]);
    expect((await data.rows())[0]!.like).toBe(6);
  });

  test('is not answered for when another one is open', async () => {
    const first = await open(ROWS);
    await open(ROWS);
    await expect(first.rows()).rejects.toThrow('not open any more');
  });
});

describe('excluded rows', () => {
  test('are listed beside the dataset, which stays as it is', async () => {
    const data = await open(ROWS);
    await data.done();
    expect(await data.ask('dataExclude', { rows: [3, 2], isExcluded: true })).toEqual([3, 2]);
    expect((await data.ask('dataProgress', {})).counts.excluded).toBe(2);
    expect(await readFile(data.file, 'utf8')).toBe(ROWS);
    expect(
      [...(await readExcluded(data.file))!.entries].filter((entry) => entry.endsWith(':2')),
    ).toHaveLength(1);
    const again = await open(ROWS, path.basename(data.file));
    await again.done();
    expect((await again.rows()).map(({ isExcluded }) => isExcluded)).toEqual([
      false,
      false,
      true,
      true,
      false,
      false,
    ]);
    await again.ask('dataExclude', { rows: [2, 3], isExcluded: false });
    expect((await readExcluded(data.file))!.entries).toEqual(new Set());
  });

  test('all that are found, at once', async () => {
    const data = await open(ROWS);
    await data.done();
    await data.found('all', 'lora');
    expect(await data.ask('dataExclude', { rows: 'view', isExcluded: true })).toHaveLength(3);
    expect(await data.found('excluded')).toEqual([1, 3, 5]);
  });

  test('a damaged list is refused, because rows would be shown as learned', async () => {
    const file = path.join(folder, 'damaged.jsonl');
    await writeFile(excludedFileOf(file), '{}');
    await expect(open(ROWS, 'damaged.jsonl')).rejects.toThrow('not valid');
  });
});

describe('an edited row', () => {
  const edit = async (data: Opened, row: number, value: string) => {
    const { hash, fields } = await data.ask('dataRow', { row });
    const changed = fields.filter(({ path: [key] }) => key === 'completion');
    const planned = await data.ask('dataPlanEdit', {
      row,
      hash,
      fields: changed.map((field) => ({ ...field, value })),
      raw: null,
    });
    return { row, ...planned, isWritten: false };
  };

  test('is written with the whole file, and back again', async () => {
    const data = await open(`\ufeff${ROWS.replaceAll('\n', '\r\n')}`);
    await data.done();
    const before = await readFile(data.file);
    const { mode } = await stat(data.file);
    const write = await edit(data, 1, 'Etwas ganz anderes, viel länger als vorher');
    await data.ask('dataWrite', write);
    const rows = await data.rows();
    expect(rows[1]!.turns[1]!.text).toContain('anderes');
    expect(rows[5]!.turns[1]!.text).toContain('two.');
    await data.done();
    expect((await data.rows())[5]!.turns[1]!.text).toContain('two.');
    expect((await stat(data.file)).mode).toBe(mode);
    await data.ask('dataWrite', { ...write, before: write.after, after: write.before });
    expect(await readFile(data.file)).toEqual(before);
    await data.done();
  });

  test('is refused when the file has changed since', async () => {
    const data = await open(ROWS);
    await data.done();
    const write = await edit(data, 0, 'other');
    await writeFile(data.file, ROWS.replace('low rank', 'high rank'));
    await expect(data.ask('dataWrite', write)).rejects.toThrow('changed since');
    expect(await readFile(data.file, 'utf8')).toContain('high rank');
  });

  test('must be a JSON object, and may be written on several lines', async () => {
    const data = await open(ROWS);
    await data.done();
    const { hash } = await data.ask('dataRow', { row: 0 });
    const plan = (raw: string) => data.ask('dataPlanEdit', { row: 0, hash, fields: [], raw });
    await expect(plan('{"a":')).rejects.toThrow('not valid JSON');
    await expect(plan('["a"]')).rejects.toThrow('must be a JSON object');
    expect((await plan('{\n "text":\n "a\\nb" }\n')).after).toBe('{"text":"a\\nb" }');
  });

  test('is not written through a link', async () => {
    const data = await open(ROWS);
    const link = path.join(folder, 'link.jsonl');
    await symlink(data.file, link);
    const linked = new Opened(link);
    await linked.ask('dataOpen', { settings: ROW_SETTINGS });
    await linked.done();
    await expect(linked.ask('dataWrite', await edit(linked, 0, 'x'))).rejects.toThrow('a link');
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect(await readFile(data.file, 'utf8')).toBe(ROWS);
  });

  test('a new row goes behind the last, which has no line break', async () => {
    const data = await open(ROWS);
    await data.done();
    await data.ask('dataAppend', { text: qa('new', 'row') });
    expect(await readFile(data.file, 'utf8')).toBe(`${ROWS}\n${qa('new', 'row')}\n`);
    expect((await data.done()).total).toBe(7);
  });
});

describe('a split', () => {
  const files = (name: string) => ({
    train: path.join(folder, `${name}.train.jsonl`),
    validation: path.join(folder, `${name}.validation.jsonl`),
  });
  const many = Array.from({ length: 40 }, (_, i) =>
    qa(`Question ${(i * 7919) % 1009}`, `${'xyzwv'[i % 5]!.repeat(9)} ${(i * 104729) % 99991}`),
  );

  test('keeps rows that resemble each other together, and leaves out excluded ones', async () => {
    const good = ROWS.split('\n').filter((line) => line !== '{"prompt": "broken"' && line !== '');
    const data = await open([...good, ...many].join('\n'));
    await data.done();
    await data.ask('dataExclude', { rows: [6], isExcluded: true });
    for (let seed = 0; seed < 5; seed++) {
      const { train, validation } = files(`s${seed}`);
      const { ends } = await data.run({ job: 'split', share: 0.3, seed, train, validation });
      expect(ends).toMatchObject([{ kind: 'split', excluded: 1 }]);
      const parts = await Promise.all(
        [train, validation].map(async (file) => (await readFile(file, 'utf8')).trim().split('\n')),
      );
      expect(parts.flat()).toHaveLength(44);
      expect(parts.flat()).not.toContain(many[1]);
      for (const part of parts)
        expect(part.filter((line) => line.includes(LONG)).length % 2).toBe(0);
      for (const part of parts) expect(part.filter((line) => line === good[0]).length % 2).toBe(0);
    }
  });

  test('is refused where a file exists or a row has errors; nothing is written', async () => {
    const data = await open(ROWS);
    await data.done();
    const { train, validation } = files('refused');
    const split = { job: 'split', share: 0.3, seed: 1, train, validation } as const;
    expect(JSON.stringify((await data.run(split)).ends)).toContain('Rows with errors');
    await writeFile(train, 'mine');
    await data.ask('dataExclude', { rows: [2], isExcluded: true });
    expect(JSON.stringify((await data.run(split)).ends)).toContain('exists already');
    expect(await readFile(train, 'utf8')).toBe('mine');
    await expect(stat(validation)).rejects.toThrow();
  });
});

test('leaks of a validation file are found', async () => {
  const other = path.join(folder, 'held.jsonl');
  await writeFile(
    other,
    [
      qa('What is LoRA?', 'An adapter of low rank.'),
      qa('Tell me', `${LONG}three.`),
      qa('x', 'y'),
    ].join('\n'),
  );
  const data = await open(ROWS);
  const { ends } = await data.run({ job: 'leaks', other });
  expect(ends).toMatchObject([{ kind: 'leaks', rows: 3, equal: 1, near: 1 }]);
  expect(ends[0]).toHaveProperty('listed', [
    { number: 1, like: 1, likeness: 1 },
    { number: 2, like: expect.toBeOneOf([6, 7]) as number, likeness: expect.any(Number) as number },
  ]);
});

describe('rows with images', () => {
  const chat = (image: string, question = LONG) =>
    JSON.stringify({
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', image },
            { type: 'text', text: question },
          ],
        },
        { role: 'assistant', content: 'Yes.' },
      ],
    });
  const save = async (name: string, text: string) => {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), text);
    return path.basename(name);
  };

  test('are near-duplicates only where their images have the same bytes', async () => {
    const [a, b, copy] = [
      await save('a.png', 'a'),
      await save('b.png', 'b'),
      await save('c.png', 'a'),
    ];
    // more than are tried of those that agree in a band
    const others = Array.from({ length: 12 }, (_, i) => chat(`missing-${i}.png`));
    const data = await open([chat(a), chat(b), ...others, chat(copy), chat('./a.png')].join('\n'));
    const { counts } = await data.run({ job: 'near' });
    expect(counts.twins).toBe(0);
    expect(counts.near).toBe(2);
    expect(await data.found('near')).toEqual([15, 16]);
  });

  test('have the tokens of their images, and each once in what the model reads', async () => {
    const fixture = path.resolve('test/fixtures/qwen3-vl-images');
    await save('wide.png', '');
    await cp(path.join(fixture, 'chats', 'wide.png'), path.join(folder, 'wide.png'));
    const data = await open(`${chat('wide.png', 'What?')}\n`);
    await data.done();
    const base = { base: path.join(fixture, 'base'), maxLength: 200, labels: 'assistant' as const };
    await data.ask('dataBase', base);
    await data.run({ job: 'tokens' });
    const [row] = await data.rows();
    const { pieces, problems } = await data.ask('dataRow', { row: 0 });
    expect(problems).toEqual([]);
    const text = pieces!.map((piece) => piece.text).join('');
    expect(text.split('<|image_pad|>')).toHaveLength(2);
    const total = pieces!.reduce((sum, { tokens }) => sum + tokens, 0);
    expect(total).toBe(row!.tokens);
    // 26 tokens beside those of the image
    const { grids } = JSON.parse(await readFile(path.join(fixture, 'expected.json'), 'utf8')) as {
      grids: [number, number, number][][];
    };
    const [, height, width] = grids[0]![0]!;
    expect(total).toBe(26 + (height * width) / 4);
    await data.ask('dataBase', { ...base, maxLength: 10 });
    const cut = (await data.ask('dataRow', { row: 0 })).pieces!.at(-1)!;
    expect(cut).toMatchObject({ kind: 'cut', tokens: total - 10 });
    expect(cut.text.split('<|image_pad|>')).toHaveLength(2);
    expect(cut.text).toMatch(/<\|image_pad\|> × \d+/);
  });

  test('leak only where their images have the same bytes', async () => {
    await save('train/x.png', 'x');
    await save('held/x.png', 'y');
    await save('held/moved.png', 'x');
    const own = await open(`${chat('x.png')}\n`, 'train/rows.jsonl');
    const other = path.join(folder, 'held', 'rows.jsonl');
    await save('held/rows.jsonl', `${chat('x.png')}\n${chat('moved.png')}\n`);
    const { ends } = await own.run({ job: 'leaks', other });
    expect(ends).toMatchObject([{ kind: 'leaks', rows: 2, equal: 1, near: 0 }]);
    expect(ends[0]).toHaveProperty('listed', [{ number: 2, like: 1, likeness: 1 }]);
  });
});

describe('files that are not JSON Lines', () => {
  test('are read, and cannot be edited', async () => {
    const data = await open('prompt,completion\nHi,"Ho, ""you"""\nA,B\n', 'table.csv');
    await data.done();
    expect((await data.rows()).map(({ turns }) => turns[1]!.text)).toEqual(['Ho, "you"', 'B']);
    const facts = await data.ask('dataOpen', { settings: ROW_SETTINGS });
    expect(facts).toMatchObject({ format: 'csv', readOnly: 'format' });
  });
});

afterEach(async () => {
  const data = await open('');
  await data.done();
});
