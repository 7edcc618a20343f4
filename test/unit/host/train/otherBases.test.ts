import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { examineRecipe } from '../../../../src/engine/training/examine';
import { figuresOf } from '../../../../src/host/configure/figures';
import { costOf, costText, costWarning, factsOf, fitsText } from '../../../../src/host/setup/costs';
import { keptChoices, neededType } from '../../../../src/host/setup/keptTypes';
import { hostMachine } from '../../../../src/host/setup/machineMemory';
import { batchOf, forecast } from '../../../../src/host/setup/forecast';
import { targetChoices } from '../../../../src/host/setup/targets';
import { recipeText } from '../../../../src/host/setup/writeRecipe';
import { isLayersHead } from '../../../../src/host/train/baseFolder';
import { likelyLabel } from '../../../../src/host/train/columnForms';
import { fitted } from '../../../../src/host/train/ofDataset';
import { findBases } from '../../../../src/host/train/findBases';
import { readBaseHeaders } from '../../../../src/inspect/answer';
import { datasetAt, findDatasets } from '../../../../src/inspect/findDatasets';
import { BATCHES } from '../../../../src/shared/usualBatch';
import { parseRecipe } from '../../../../src/shared/recipeFile';
import { targetsFor } from '../../../../src/lora/selection';
import { writePlainLayers } from '../../../support/plainLayers';
import { temp } from '../../../support/temp';

const png = encode({ width: 4, height: 4, channels: 3, data: new Uint8Array(48) });

function imageFolder(folder: string): string {
  for (const name of ['cat', 'dog']) {
    mkdirSync(path.join(folder, name), { recursive: true });
    for (const i of [1, 2]) writeFileSync(path.join(folder, name, `${i}.png`), png);
  }
  return folder;
}

function tableIn(folder: string): string {
  const file = path.join(folder, 'iris.csv');
  const rows = Array.from({ length: 8 }, (_, i) => `${i},${i + 1},${i % 2 === 0 ? 'a' : 'b'}`);
  writeFileSync(file, ['width,height,species', ...rows].join('\n'));
  return file;
}

const NO_ANSWERS = { replay: null, validation: null, r: 2, columns: {} } as const;

/** What lora check says against the recipe of these answers. */
async function problemsOf(answers: Parameters<typeof recipeText>[0], folder: string) {
  const file = path.join(folder, 'lora.json');
  const text = recipeText(answers, folder);
  writeFileSync(file, text);
  const { problems, datasets } = await examineRecipe(parseRecipe(text, file), file, {
    report: () => undefined,
  });
  return [...problems, ...datasets.flatMap((own) => own.problems)]
    .filter(({ severity }) => severity === 'error')
    .map(({ message }) => message);
}

/** What lora check says of the memory of a step in the usual batch. */
async function checkedMemory(base: string, folder: string) {
  const recipe = {
    ...{ base, dataset: tableIn(folder), task: 'features', columns: { label: 'species' } },
    lora: { r: 1 },
    training: { per_device_train_batch_size: BATCHES.features.size },
  };
  const file = path.join(folder, 'lora.json');
  const { layers_memory, problems } = await examineRecipe(
    parseRecipe(JSON.stringify(recipe), file),
    file,
    { report: () => undefined },
  );
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  if (!layers_memory || 'unknown' in layers_memory) throw new Error('There is no estimate.');
  return layers_memory;
}

describe('a layers model in Train Adapter', () => {
  it('is found by its model.json, but no graph model or other file of this name', async () => {
    const folder = temp();
    writePlainLayers(path.join(folder, 'net'), [2], [3, 2]);
    mkdirSync(path.join(folder, 'other'));
    writeFileSync(path.join(folder, 'other', 'model.json'), '{"name": "a table"}');
    const found = [];
    const places = { home: temp(), env: {}, modelFolders: [], workspaceFolders: [folder] };
    for await (const base of findBases(places)) found.push(base);
    expect(found).toMatchObject([
      { name: path.join('net', 'model.json'), format: 'tensorflow.js', source: 'workspace' },
    ]);
    expect(found[0]?.bytes).toBeGreaterThan(4 * (2 * 3 + 3 + 3 * 2 + 2));
    expect(isLayersHead('{"format": "graph-model", "modelTopology": {}}')).toBe(false);
  });

  it('learns a table of numbers by a recipe that lora check accepts', async () => {
    const folder = temp();
    const base = factsOf(await readBaseHeaders(writePlainLayers(folder, [2], [3, 2])));
    expect(base).toMatchObject({ size: null, task: 'features', tasks: ['features'] });
    const dataset = fitted(await datasetAt(tableIn(folder), []), base);
    expect(dataset.task).toBe('features');
    const answers = { ...NO_ANSWERS, task: dataset.task, base: base.path, dataset } as const;
    const columns = { label: 'species' };
    const whole = { ...answers, columns, target_modules: 'all-linear' };
    expect(await problemsOf(whole, folder)).toEqual([]);
    expect(await problemsOf({ ...whole, target_modules: ['Dense'] }, folder)).toEqual([]);
    expect(await problemsOf({ ...whole, columns: {} }, folder)).not.toEqual([]);
  });

  it('learns a folder of images by a recipe that lora check accepts', async () => {
    const folder = temp();
    const base = factsOf(await readBaseHeaders(writePlainLayers(folder, [4, 4, 3], [3, 2])));
    expect(base.tasks).toEqual(['image_cls', 'features']);
    const dataset = fitted(await datasetAt(imageFolder(path.join(folder, 'pets')), []), base);
    expect(dataset).toMatchObject({ task: 'image_cls', rows: 4, keys: ['cat', 'dog'] });
    const target_modules = 'all-linear';
    const answers = { ...NO_ANSWERS, task: dataset.task, base: base.path, dataset, target_modules };
    expect(await problemsOf(answers, folder)).toEqual([]);
  });

  it('is checked with the memory of a step in the batch of the recipe', async () => {
    const folder = temp();
    const base = writePlainLayers(folder, [2], [3, 2]);
    const estimated = async (size: number) => {
      const training = { per_device_train_batch_size: size };
      const recipe = { base, dataset: tableIn(folder), task: 'features', training };
      const file = path.join(folder, 'lora.json');
      const text = JSON.stringify({ ...recipe, columns: { label: 'species' } });
      const { layers_memory } = await examineRecipe(parseRecipe(text, file), file, {
        report: () => undefined,
      });
      if (!layers_memory || 'unknown' in layers_memory) throw new Error('There is no estimate.');
      return layers_memory;
    };
    const [small, large] = [await estimated(2), await estimated(6)];
    expect([small.rows, large.rows]).toEqual([2, 6]);
    expect(small.weights).toBe(3 * 4 * (2 * 3 + 3 + 3 * 2 + 2));
    expect(large.activations).toBe(3 * small.activations);
    expect(small.activations).toBeGreaterThan(0);
    expect(large.total - small.total).toBe(large.activations - small.activations);
  });

  it('has ranks and targets with costs, and whether a step fits', async () => {
    const folder = temp();
    const file = writePlainLayers(folder, [2], [3, 2]);
    const base = factsOf(await readBaseHeaders(file));
    const machine = (available: number) => ({ ...hostMachine(), available });
    const cost = costOf(base, 1, 'all-linear', machine(8e9));
    expect(cost).toMatchObject({ trainable: 2 + 3 + 3 + 2 });
    expect(cost.memory).toBe((await checkedMemory(file, folder)).total);
    expect(costWarning(cost, 1, 8e9)).toBeNull();
    expect(costWarning(cost, 1, 1e6)).toBe('This needs more memory than is available.');
    expect(costText(base, cost, 8e9)).toMatch(/ · memory \d+(?:\.\d+)? MiB of 7\.5 GiB$/);
    expect(fitsText(cost.types)).toBe('float32: fits');
    const [little] = costOf(base, 1, 'all-linear', machine(cost.memory!)).types;
    expect(little).toMatchObject({ base_dtype: 'float32', bytes: cost.memory, fit: 'exceeds' });
    expect(neededType([little!])).toBe('auto');
    expect(keptChoices([little!])).toEqual([]);
    expect(targetChoices(base.modules).map((own) => own.target_modules)).toEqual(['all-linear']);
    const recipe = parseRecipe('{"base": "b", "dataset": "d", "task": "features"}', 'lora.json');
    const settings = { r: 1, lora_alpha: 2, use_rslora: false, use_dora: false };
    const figures = figuresOf(base, recipe, { settings, chosen: base.modules }, machine(8e9));
    const batch = recipe.training.per_device_train_batch_size;
    expect(figures).toMatchObject({ full: null, trainable: 10, batch });
    const { total, ...parts } = figures.memory!;
    expect(Object.values(parts).reduce((a, b) => a + b)).toBe(total);
    expect(figures.types).toMatchObject([{ base_dtype: 'float32', bytes: total, fit: 'fits' }]);
    expect(figures.kinds.map(({ name }) => name)).toEqual(['Dense']);
    expect(batchOf(base, recipe, null).length).toBe(1);
    const facts = { examples: 8, tokens: 8, longest: 1, sequences: 1 };
    expect(forecast(base, recipe, facts).seconds).toBeNull();
  });

  it('names the layer without which its memory is not estimated', async () => {
    const file = writePlainLayers(temp(), [2], [3, 2]);
    const json = readFileSync(file, 'utf8');
    writeFileSync(file, json.replace('"class_name":"InputLayer"', '"class_name":"RandomWidth"'));
    const base = factsOf(await readBaseHeaders(file));
    const cost = costOf(base, 1, 'all-linear');
    expect(cost).toMatchObject({ memory: null, types: [], unknownLayer: 'input' });
    expect(costText(base, cost, 1)).toMatch(/ · memory not estimated: input$/);
  });

  it('of a custom layer is refused', async () => {
    const file = writePlainLayers(temp(), [2], [3, 2]);
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace('"class_name":"Dense"', '"class_name":"Swirl"'),
    );
    await expect(readBaseHeaders(file)).rejects.toThrow(/"dense_0" is of the class "Swirl"/);
  });

  it('names layers by their classes and paths', async () => {
    const { modules } = await readBaseHeaders(writePlainLayers(temp(), [2], [3, 2]));
    const [first, second] = modules;
    expect(
      costOf(factsOf(await readBaseHeaders(writePlainLayers(temp(), [2], [3, 2]))), 1, ['Dnse']),
    ).toMatchObject({ matched: [], unmatched: [{ name: 'Dnse', nearest: 'Dense' }] });
    expect(targetsFor(modules, new Set([first!.path]))).toEqual({
      target_modules: ['dense_0'],
      layers_to_transform: null,
    });
    const conv = { ...first!, path: 'conv_0', names: ['conv_0', 'Conv2D'] };
    const mixed = [...modules, conv];
    expect(targetsFor(mixed, new Set([first!.path, second!.path])).target_modules).toEqual([
      'Dense',
    ]);
    expect(targetChoices(mixed).map((own) => own.target_modules)).toEqual([
      'all-linear',
      ['Dense'],
      ['Conv2D'],
    ]);
  });

  it('takes the column of names, or the last one, for that of the labels', () => {
    const columns = (...values: string[]) =>
      values.map((value, i) => ({ name: `c${i}`, values: [value] }));
    expect(likelyLabel(columns('setosa', '1', '2'))).toBe('c0');
    expect(likelyLabel(columns('1', '2', '3'))).toBe('c2');
    expect(likelyLabel(columns('a', 'b', '3'))).toBe('c2');
    expect(likelyLabel([])).toBeUndefined();
  });
});

describe.each(['clip', 'siglip'])('%s in Train Adapter', (family) => {
  const base = path.resolve('test/fixtures', family, 'base');

  it('learns folders of images by a recipe that lora check accepts', async () => {
    const folder = temp();
    imageFolder(path.join(folder, 'pets'));
    const facts = factsOf(await readBaseHeaders(base));
    expect(facts.tasks).toEqual(['contrastive']);
    const [found] = await findDatasets([folder]);
    expect(found).toMatchObject({ task: 'image_cls', images: true });
    const dataset = fitted(found!, facts);
    expect(dataset.task).toBe('contrastive');
    const target_modules = 'all-linear';
    const answers = { ...NO_ANSWERS, task: dataset.task, base, dataset, target_modules };
    expect(await problemsOf(answers, folder)).toEqual([]);
  });

  it('learns rows of images and texts by a recipe that lora check accepts', async () => {
    const folder = temp();
    imageFolder(folder);
    const file = path.join(folder, 'rows.jsonl');
    const rows = ['cat/1.png', 'dog/1.png'].map((picture) => ({ picture, title: `a ${picture}` }));
    writeFileSync(file, rows.map((row) => JSON.stringify(row)).join('\n'));
    const answers = {
      ...NO_ANSWERS,
      task: 'contrastive',
      base,
      dataset: await datasetAt(file, []),
      columns: { image: 'picture', text: 'title' },
      target_modules: 'all-linear',
    } as const;
    expect(await problemsOf(answers, folder)).toEqual([]);
  });
});

it('an encoder-decoder in Train Adapter learns prompts with answers, by a recipe that lora check accepts', async () => {
  const folder = temp();
  const file = path.join(folder, 'rows.jsonl');
  const rows = ['red', 'blue'].map((colour) => ({ source: `the ${colour} hat`, target: colour }));
  writeFileSync(file, rows.map((row) => JSON.stringify(row)).join('\n'));
  const facts = factsOf(await readBaseHeaders(path.resolve('test/fixtures/t5/base')));
  expect(facts.tasks).toEqual(['seq2seq_lm']);
  const dataset = fitted(await datasetAt(file, []), facts);
  expect(dataset.task).toBe('seq2seq_lm');
  const target_modules = ['q', 'v'];
  const answers = { ...NO_ANSWERS, task: dataset.task, base: facts.path, dataset, target_modules };
  expect(await problemsOf(answers, folder)).toEqual([]);
});
