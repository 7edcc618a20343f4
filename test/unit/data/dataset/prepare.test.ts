import { firstPathOf } from '../../../../src/shared/datasetSources';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { RowCache } from '../../../../src/data/dataset/rowCache';
import { examineData, histogram } from '../../../../src/data/dataset/examine';
import {
  prepareData,
  readData,
  type DataRecipe,
  type DataTools,
} from '../../../../src/data/dataset/prepare';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';
import type { Examples } from '../../../../src/data/examples/examples';
import { LoraError } from '../../../../src/shared/errors';
import { smallTokenizer } from '../../../support/datasets';

const folder = mkdtempSync(path.join(tmpdir(), 'prepare-'));
let files = 0;
function fileOf(...rows: object[]): string {
  const file = path.join(folder, `${++files}.jsonl`);
  writeFileSync(file, rows.map((row) => JSON.stringify(row)).join('\n'));
  return file;
}
const RECIPE: DataRecipe = {
  ...ROW_SETTINGS,
  problem_type: null,
  dataset: '',
  validation: null,
  validation_split: 0,
  labels: 'assistant',
  training: { max_length: 16, seed: 1, packing: false },
};
const tokenizer = smallTokenizer();
const TOOLS: DataTools = { tokenizer, images: null, has_types: true, max_positions: 64 };
const recipeOf = (change: Partial<DataRecipe>, training: object = {}): DataRecipe => ({
  ...RECIPE,
  ...change,
  training: { ...RECIPE.training, ...training },
});
const prepare = async (recipe: DataRecipe, tools: Partial<DataTools> = {}) =>
  prepareData(await readData(recipe, null), recipe, { ...TOOLS, ...tools });
const all = (examples: Examples) =>
  Array.from({ length: examples.length }, (_, i) => examples.at(i));
const texts = (count: number) => Array.from({ length: count }, (_, i) => ({ text: `row ${i}` }));
const fault = (use: Promise<unknown>) =>
  use.then(
    () => 'no error',
    (error: unknown) => error,
  );

describe('prepared data', () => {
  it('is split by the share of validation_split, with statistics of both parts', async () => {
    const data = await prepare(recipeOf({ dataset: fileOf(...texts(10)), validation_split: 0.3 }));
    expect([data.train.length, data.validation.length]).toEqual([7, 3]);
    expect([data.statistics.train.examples, data.statistics.validation.examples]).toEqual([7, 3]);
    const lines = [...all(data.train), ...all(data.validation)].map((e) =>
      e.kind === 'tokens' ? e.line : 0,
    );
    expect(lines.sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(data).toMatchObject({ labels: null, warnings: [], image_length: 1 });
    expect(data.fingerprint).toHaveLength(1);
  });

  it('has the rows of a validation file apart, and shows those', async () => {
    const [dataset, validation] = [1, 2].map((count) =>
      fileOf(...Array.from({ length: count }, () => ({ prompt: `p${count}`, completion: 'c' }))),
    ) as [string, string];
    const data = await prepare(
      recipeOf({ dataset, validation, validation_split: 0.5 }, { max_length: 64 }),
    );
    expect([data.train.length, data.validation.length]).toEqual([1, 2]);
    expect(data.sample_rows.map((row) => row.text)).toEqual(['p2', 'p2']);
    expect(data.fingerprint.map(({ file }) => file)).toEqual([dataset, validation]);
    const alone = await prepare(recipeOf({ dataset }, { max_length: 64 }));
    expect(alone.sample_rows.map((row) => row.text)).toEqual(['p1']);
  });

  it('is truncated to max_length, and to the positions of the model', async () => {
    const dataset = fileOf({ text: 'q'.repeat(99) });
    const longest = async (max_length: number, max_positions: number) => {
      const { train } = await prepare(recipeOf({ dataset }, { max_length }), { max_positions });
      const example = train.at(0);
      return example.kind === 'tokens' ? example.input_ids.length : 0;
    };
    expect(await longest(16, 64)).toBe(16);
    expect(await longest(16, 8)).toBe(8);
  });

  it('is packed where that is set, for causal_lm only', async () => {
    const dataset = fileOf(...texts(6));
    const { train } = await prepare(recipeOf({ dataset }, { packing: true, max_length: 64 }));
    expect(train.length).toBeLessThan(6);
    expect(train.at(0).kind).toBe('packed');
    const labelled = fileOf({ text: 'a', label: 'x' }, { text: 'b', label: 'y' });
    expect(
      await fault(prepare(recipeOf({ dataset: labelled, task: 'seq_cls' }, { packing: true }))),
    ).toMatchObject({ area: 'recipe', place: { key: 'training.packing' } });
  });

  it('pads with the pad token, else with the end token', async () => {
    const recipe = recipeOf({ dataset: fileOf({ text: 'a b' }, { text: 'a longer row' }) });
    const padOf = async (own: Partial<typeof tokenizer>) => {
      const tools = { tokenizer: { ...tokenizer, ...own } };
      const data = await prepare(recipe, tools);
      return (await data.collate(all(data.train))).input_ids[15];
    };
    expect(await padOf({ pad_token_id: 7, eos_token_id: 1 })).toBe(7);
    expect(await padOf({ pad_token_id: null, eos_token_id: 5 })).toBe(5);
    expect(await padOf({ pad_token_id: null, eos_token_id: null })).toBe(0);
  });

  it('reports progress while a file is read, and at the end of each', async () => {
    const done: number[] = [];
    const [dataset, validation] = [fileOf(...texts(30_000)), fileOf(...texts(200))];
    await prepare(recipeOf({ dataset, validation }), { onProgress: (share) => done.push(share) });
    expect(done.length).toBeGreaterThan(4);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect([done.includes(0.5), done.at(-1)]).toEqual([true, 1]);
  });

  it('has labels of both files, or those that the base knows', async () => {
    const dataset = fileOf({ text: 'a', label: 'x' }, { text: 'b', label: 'x' });
    const validation = fileOf({ text: 'c', label: 'y' });
    const recipe = recipeOf({ dataset, validation, task: 'seq_cls' });
    const data = await prepare(recipe);
    expect(data.labels).toEqual({ problem_type: 'single_label_classification', names: ['x', 'y'] });
    expect(data.train.at(0)).toMatchObject({ kind: 'text', line: 1 });
    expect((await readData(recipe, ['y', 'z', 'x'])).labels?.names).toEqual(['y', 'z', 'x']);
  });

  it('reads a folder of images by their classes', async () => {
    const root = path.join(folder, 'images');
    const png = encode({ width: 1, height: 1, channels: 1, data: new Uint8Array(1) });
    for (const name of ['cat', 'dog']) {
      mkdirSync(path.join(root, name), { recursive: true });
      writeFileSync(path.join(root, name, '1.png'), png);
    }
    const images = {
      length: 5,
      read: (file: string) => Promise.resolve(Float32Array.of(file.includes('dog') ? 1 : 0)),
    };
    const data = await prepare(recipeOf({ dataset: root, task: 'image_cls' }), {
      tokenizer: null,
      images,
    });
    expect(data.labels?.names).toEqual(['cat', 'dog']);
    expect(data.image_length).toBe(5);
    expect(data.statistics.train).toMatchObject({ tokens: 10, longest: 5, truncated: 0 });
    const batch = await data.collate(all(data.train));
    expect([...batch.pixel_values!]).toEqual([0, 1]);
    expect([...batch.labels]).toEqual([0, 1]);
    expect(batch.length).toBe(5);
  });
});

describe('data with errors', () => {
  it('names all of them, in both files', async () => {
    const recipe = recipeOf({
      dataset: fileOf({ text: 3 }, { text: 'a' }),
      validation: fileOf({ text: '' }),
    });
    expect(await fault(prepare(recipe))).toMatchObject({
      message: 'The dataset has 2 errors in 2 rows.',
    });
    const labelled = { ...recipe, task: 'seq_cls' as const };
    const read = await readData(labelled, null);
    expect(read.labels).toBeNull();
    await expect(prepareData(read, labelled, TOOLS)).rejects.toThrow(LoraError);
  });

  it('of labels are problems of the training file', async () => {
    const recipe = recipeOf({
      dataset: fileOf({ text: 'a', label: 'x' }),
      task: 'seq_cls',
      validation: fileOf({ text: 'a', label: 'x' }),
    });
    const { datasets, labels } = await readData(recipe, null);
    expect(labels).toBeNull();
    expect(datasets.map((d) => d.problems.length)).toEqual([1, 0]);
  });

  it('is left out and counted where the recipe says so, and the rest is as without it', async () => {
    const good = texts(20);
    const labelled = (rows: object[]) => rows.map((row, i) => ({ ...row, label: `l${i % 2}` }));
    for (const [task, rows, faulty] of [
      ['causal_lm', good, [{ text: 3 }, { text: '' }, { input_ids: [9999] }]],
      [
        'seq_cls',
        labelled(good),
        [{ text: 'a' }, { text: 'a', label: ['l0', 'l1'] }, { label: 'l0' }],
      ],
    ] as const) {
      const recipe = recipeOf({ task, dataset: fileOf(...rows), validation_split: 0.2 });
      const mixed = rows.flatMap((row, i) => (i % 7 === 6 ? [faulty[(i - 6) / 7]!, row] : [row]));
      const skipping = { ...recipe, dataset: fileOf(...mixed, faulty[2]), skip_faulty_rows: true };
      const [plain, data] = [await prepare(recipe), await prepare(skipping)];
      expect(data.skipped.rows).toBe(3);
      expect(data.skipped.problems.map((p) => p.place?.line)).toEqual(
        expect.arrayContaining([7, 15, 23]) as unknown,
      );
      expect(data.warnings).toEqual([]);
      const withoutLines = (examples: Examples) =>
        all(examples).map((example) => ({ ...example, line: 0 }));
      expect(withoutLines(data.train)).toEqual(withoutLines(plain.train));
      expect(withoutLines(data.validation)).toEqual(withoutLines(plain.validation));
      expect([data.statistics, data.labels]).toEqual([plain.statistics, plain.labels]);
      const [checked] = await examineData(await readData(skipping, null), skipping, TOOLS);
      expect(checked).toMatchObject({ skipped_rows: 3, statistics: { examples: 20 } });
      expect(checked!.problems.every(({ severity }) => severity === 'warning')).toBe(true);
    }
  });

  it('that changes between two readings ends with one message', async () => {
    const recipe = recipeOf({ dataset: fileOf(...texts(3)) });
    const read = await readData(recipe, null);
    writeFileSync(firstPathOf(recipe.dataset), '{"text": "another"}\n');
    await expect(prepareData(read, recipe, TOOLS)).rejects.toMatchObject({
      area: 'dataset',
      message: 'The file was changed while it was read.',
      place: { file: recipe.dataset },
    });
  });

  it('has no row left where all are skipped, which lists why', async () => {
    const dataset = fileOf({ prompt: 'q'.repeat(99), completion: 'a' });
    const error = await fault(prepare(recipeOf({ dataset, unlabelled_rows: 'skip' })));
    expect(error).toMatchObject({
      area: 'dataset',
      message: expect.stringContaining('No row of the dataset is left') as unknown,
      place: { file: dataset },
      problems: [
        { severity: 'warning', message: expect.stringContaining('max_length = 16') as unknown },
      ],
    });
  });
});

describe('the examination of data', () => {
  it('tokenizes again only rows that have changed or have problems', async () => {
    const tokenized: string[] = [];
    const counting = {
      ...TOOLS,
      tokenizer: {
        ...tokenizer,
        encode: (text: string) => {
          tokenized.push(text);
          return tokenizer.encode(text);
        },
      },
    };
    const cacheFile = path.join(folder, 'row-cache');
    const examine = async (rows: readonly object[], settings: string, withCache = true) => {
      tokenized.length = 0;
      const recipe = recipeOf({ dataset: fileOf(...rows), labels: 'all' });
      const cache = withCache ? await RowCache.open(cacheFile, settings) : undefined;
      const read = await readData(recipe, null);
      const [checked] = await examineData(read, recipe, counting, { cache });
      await cache?.save();
      return { ...checked, path: '', problems: checked!.problems.map(({ message }) => message) };
    };
    const cut = { text: 'q'.repeat(99) };
    const faulty = { input_ids: [9_999, 9_999] };
    const rows = [...texts(20), cut, faulty, { text: 'row 3' }];
    const first = await examine(rows, 'a');
    expect(tokenized.length).toBe(21);
    expect(first).toMatchObject({ cut: [{ line: 21 }], duplicate_rows: 1 });
    expect(await examine(rows, 'a')).toEqual(first);
    expect(tokenized).toEqual([]);
    const edited = [{ text: 'new' }, ...rows.slice(1), { text: 'row 0' }];
    const again = await examine(edited, 'a');
    expect(tokenized).toEqual(['new']);
    expect(again).toEqual(await examine(edited, 'a', false));
    await examine(edited, 'b');
    expect(tokenized.length).toBe(22);
    writeFileSync(cacheFile, 'torn');
    await examine(edited, 'b');
    expect(tokenized.length).toBe(22);
  });

  it('has the rows that are cut, duplicates, statistics and lengths', async () => {
    const recipe = recipeOf({
      dataset: fileOf({ text: 'qqq' }, { text: 'q'.repeat(99) }, { text: 'qqq' }, { text: 3 }),
    });
    const read = await readData(recipe, null);
    const [checked] = await examineData(read, recipe, TOOLS);
    const length = tokenizer.encode('q'.repeat(99)).length + 1;
    expect(checked).toMatchObject({
      path: recipe.dataset,
      cut: [{ line: 2, length, lost: length - 16 }],
      duplicates: [{ line: 3, first: 1 }],
      statistics: { examples: 3, longest: length, truncated: 1 },
      problems: [{ severity: 'error', place: { line: 4 } }],
    });
    expect(checked!.lengths.reduce((sum, bin) => sum + bin.rows, 0)).toBe(3);
    const [without] = await examineData(read, recipe, null);
    expect(without).toMatchObject({
      cut: [],
      statistics: null,
      lengths: [],
      duplicates: [{ line: 3, first: 1 }],
    });
  });

  it('leaves out tokens where the labels have errors, and cuts no images', async () => {
    const recipe = recipeOf({ dataset: fileOf({ text: 'a', label: 'x' }), task: 'seq_cls' });
    const [checked] = await examineData(await readData(recipe, null), recipe, TOOLS);
    expect(checked).toMatchObject({ statistics: null, lengths: [] });
    const images = { length: 50, read: () => Promise.resolve(new Float32Array(1)) };
    const rows = ['a', 'b'].map(
      (label, i) => ({ kind: 'image', line: i + 1, file: 'f', label }) as const,
    );
    const [own] = await examineData(
      {
        datasets: [
          {
            path: 'p',
            rows: rows.length,
            problems: [],
            skippedRows: 0,
            excludedRows: 0,
            excludedList: null,
            fingerprint: null,
            unit: 'line',
            forEachRow: (visit) => {
              rows.forEach(visit);
              return Promise.resolve();
            },
            rowAt: () => Promise.resolve(null),
          },
        ],
        labels: { problem_type: 'single_label_classification', names: ['a', 'b'] },
      },
      recipeOf({ task: 'image_cls' }),
      { ...TOOLS, tokenizer: null, images },
    );
    expect(own).toMatchObject({ cut: [], duplicates: [], statistics: { tokens: 100 } });
  });

  it('counts lengths in bins of 1, 2, 5, 10, … tokens, from a multiple of that', () => {
    expect(histogram([0, 7])).toHaveLength(8);
    expect(histogram([1, 16]).slice(0, 2)).toEqual([
      { from: 0, to: 1, rows: 1 },
      { from: 2, to: 3, rows: 0 },
    ]);
    expect(histogram([3, 11])[0]).toEqual({ from: 2, to: 3, rows: 1 });
    expect(histogram([13, 37])[0]).toEqual({ from: 10, to: 14, rows: 1 });
    expect(histogram([13, 60])[0]).toEqual({ from: 10, to: 19, rows: 1 });
    expect(histogram([13, 93])[0]).toEqual({ from: 0, to: 19, rows: 1 });
    expect(histogram([0, 79])).toHaveLength(8);
    expect(histogram([0, 80])).toHaveLength(5);
    expect(histogram([5, 130, 5]).at(-1)).toEqual({ from: 120, to: 139, rows: 1 });
  });
});
