import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { hubNameOfPath } from '../../../../src/formats/hub/hubName';
import { RecipeSchema, type Recipe } from '../../../../src/shared/recipe';
import { isObject } from '../../../../src/shared/values';
import { makeBundle } from '../../../../src/targets/bundle/bundle';
import { PATH_KEYS } from '../../../../src/targets/bundle/recipePaths';

/** The keys of the schema whose values are those of `path()`. */
function pathKeys(schema: unknown, prefix = ''): string[] {
  if (!isObject(schema)) return [];
  if (isObject(schema['entries']))
    return Object.entries(schema['entries']).flatMap(([key, value]) =>
      pathKeys(value, prefix === '' ? key : `${prefix}.${key}`),
    );
  const pipe = Array.isArray(schema['pipe']) ? (schema['pipe'] as unknown[]) : [];
  if (pipe.some((part) => isObject(part) && part['message'] === 'must not be empty'))
    return [prefix];
  const options = Array.isArray(schema['options']) ? (schema['options'] as unknown[]) : [];
  const inner = [
    schema['wrapped'],
    schema['item'],
    ...options,
    ...pipe.filter((part) => part !== schema),
  ];
  // a source is a path, or an object with one
  const keys = inner.flatMap((part) => pathKeys(part, prefix));
  return [...new Set(keys.map((key) => key.replace(/^dataset\.path$/, 'dataset')))];
}

function workspace() {
  const folder = mkdtempSync(path.join(tmpdir(), 'bundle-'));
  const write = (name: string, text = name) => {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
    return path.join(folder, name);
  };
  for (const name of ['cli.js', 'cli.js.map', 'worker.js', 'extension.js', 'webview/dashboard.js'])
    write(`dist/${name}`);
  for (const name of ['config.json', 'model.safetensors', 'notes.bin', '.hidden.json'])
    write(`base/${name}`);
  const recipe = v.parse(RecipeSchema, {
    base: path.join(folder, 'base'),
    dataset: write("a b/it's.jsonl"),
  });
  return { folder, write, recipe, dist: path.join(folder, 'dist') };
}

const bundleOf = (recipe: Recipe, dist: string, bases: Record<string, string> = {}) =>
  makeBundle(recipe, { dist, bases, signal: new AbortController().signal });

describe('rows that name images', () => {
  it('are sent with the folder that has both, and refused without it', async () => {
    const { recipe, dist, write, folder } = workspace();
    const captioned: Recipe = { ...recipe, task: 'contrastive', dataset: write('cats/rows.jsonl') };
    write('cats/images/1.png');
    await expect(bundleOf(captioned, dist)).rejects.toThrow(
      /What dataset names cannot be sent: its images would stay here; name the folder/,
    );
    const dataset = path.join(folder, 'cats');
    const { items } = await bundleOf({ ...captioned, dataset }, dist);
    const sent = items.find(({ label }) => label === 'dataset')!.files.map((file) => file.path);
    expect(sent.sort()).toEqual(['cats/images/1.png', 'cats/rows.jsonl']);
  });

  it('are chats, too, if they have images', async () => {
    const { recipe, dist, write } = workspace();
    const chat = (...content: object[]) =>
      JSON.stringify({ messages: [{ role: 'user', content }] });
    const dataset = write('chats/rows.jsonl');
    writeFileSync(dataset, chat({ type: 'text', text: 'a' }));
    await expect(bundleOf({ ...recipe, dataset }, dist)).resolves.toBeDefined();
    writeFileSync(dataset, chat({ type: 'image', image: 'a.png' }));
    await expect(bundleOf({ ...recipe, dataset }, dist)).rejects.toThrow('name the folder');
  });

  it('are found however far behind they stand, in every spelling and format', async () => {
    const { recipe, dist, write } = workspace();
    const far = `{"text": "${'x'.repeat(1000)}"}\n`.repeat(200);
    const part = { type: 'image', image: 'a.png' };
    const message = { role: 'user', content: [part] };
    const rows: [string, string][] = [
      ['rows.jsonl', `${far}${JSON.stringify({ messages: [message] })}\n`],
      ['long.jsonl', JSON.stringify({ text: 'x'.repeat(70_000), messages: [message] })],
      ['escaped.jsonl', '{"messages": [{"content": [{"type": "\\u0069mage", "image": "a.png"}]}]}'],
      ['rows.json', JSON.stringify([{ text: 'a' }, { prompt: [message] }])],
      ['trl.jsonl', `${far}${JSON.stringify({ messages: [], images: ['a.png'] })}`],
      ['path.jsonl', '{"m": [{"content": [{"type": "image", "path": "a.png"}]}]}'],
      ['stored.jsonl', '{"messages": [], "images": [{"path": "a.png", "bytes": null}]}'],
      ['one.jsonl', JSON.stringify({ messages: [], image: 'a.png' })],
      ['list.jsonl', JSON.stringify({ messages: [], image: ['a.png'] })],
      ['url.jsonl', '{"m": [{"content": [{"type": "image_url", "image_url": {"url": "a.png"}}]}]}'],
      ['rows.csv', `text,messages\na,"${JSON.stringify([message]).replaceAll('"', '""')}"\n`],
    ];
    for (const [name, text] of rows)
      await expect(
        bundleOf({ ...recipe, dataset: write(`far/${name}`, text) }, dist),
        name,
      ).rejects.toThrow('name the folder');
  });

  it('are in the column that the recipe names', async () => {
    const { recipe, dist, write } = workspace();
    const file = write('pairs/rows.jsonl', '{"photo": "../a.png", "text": "a"}');
    write('a.png');
    const columns = { image: 'photo' };
    const dataset = path.dirname(file);
    const reason = 'the image ../a.png of row 1 of rows.jsonl is not sent with it';
    for (const own of [{ dataset, columns }, { dataset: { path: dataset, columns } }])
      await expect(bundleOf({ ...recipe, task: 'contrastive', ...own }, dist)).rejects.toThrow(
        reason,
      );
  });

  it('are not looked for where the base reads texts alone', async () => {
    const { recipe, dist, write } = workspace();
    write('base/config.json', '{"model_type": "llama"}');
    const dataset = write('rows.jsonl', '{"text": "a", "image": "a.png"}');
    await expect(bundleOf({ ...recipe, dataset }, dist)).resolves.toBeDefined();
    write('base/config.json', '{"model_type": "qwen3_vl", "vision_config": {}}');
    await expect(bundleOf({ ...recipe, dataset }, dist)).rejects.toThrow('name the folder');
  });

  it.each(['../a.png', '.hidden/a.png', 'missing.png'])(
    'are refused where the folder is sent without %s',
    async (image) => {
      const { recipe, dist, write } = workspace();
      for (const name of ['a.png', 'chats/.hidden/a.png', 'chats/deep/b.png']) write(name);
      const row = (name: string) => JSON.stringify({ images: [name], messages: [] });
      const file = write('chats/rows.jsonl', `${row('deep/b.png')}\n`);
      const dataset = path.dirname(file);
      await expect(bundleOf({ ...recipe, dataset }, dist)).resolves.toBeDefined();
      writeFileSync(file, `${row('deep/b.png')}\n${row(image)}\n`);
      await expect(bundleOf({ ...recipe, dataset }, dist)).rejects.toThrow(
        `the image ${image} of row 2 of rows.jsonl is not sent with it`,
      );
    },
  );
});

describe('the files of a recipe', () => {
  it('are those of every key that names files', () => {
    // runs on targets answer no suites
    const sent = pathKeys(RecipeSchema).filter((key) => key !== 'evaluate.suites');
    expect(PATH_KEYS.map(({ key }) => key).sort()).toEqual(sent.sort());
  });

  it('are sent without source maps, pages and hidden files, and named relative to the job', async () => {
    const { recipe, dist } = workspace();
    const { items, engine, recipe: text } = await bundleOf(recipe, dist);
    expect(items.map(({ label, files }) => [label, files.map((file) => file.path)])).toEqual([
      ['engine', ['cli.js', 'worker.js']],
      ['base', ['base/config.json', 'base/model.safetensors']],
      ['dataset', ["it's.jsonl"]],
    ]);
    expect(engine).toBe(items[0]!.id);
    const sent = JSON.parse(text) as Recipe;
    expect(sent.base).toBe(`../../items/${items[1]!.id}/base`);
    expect(sent.dataset).toBe(`../../items/${items[2]!.id}/it's.jsonl`);
  });

  it('include a teacher, which is sent as a base is', async () => {
    const { recipe, dist, write } = workspace();
    const teacher = path.dirname(write('teacher/config.json', 'teacher'));
    const objective = { ...recipe.objective, method: 'distill' as const, teacher };
    const { items, recipe: text } = await bundleOf({ ...recipe, objective }, dist);
    const item = items.find(({ label }) => label === 'objective.teacher')!;
    expect(item.files.map((file) => file.path)).toEqual(['teacher/config.json']);
    const sent = JSON.parse(text) as Recipe;
    expect(sent.objective.teacher).toBe(`../../items/${item.id}/teacher`);
    const there = await bundleOf({ ...recipe, objective }, dist, { [teacher]: '/models/teacher' });
    expect((JSON.parse(there.recipe) as Recipe).objective.teacher).toBe('/models/teacher');
  });

  it('keep the name that a base has on the Hub', async () => {
    const { recipe, dist, write } = workspace();
    write('hub/models--lab--tiny/snapshots/0a1b/config.json');
    const base = path.dirname(write('hub/models--lab--tiny/snapshots/0a1b/model.safetensors'));
    const { items, recipe: text } = await bundleOf({ ...recipe, base: `${base}/` }, dist);
    const place = `../../items/${items[1]!.id}/models--lab--tiny/snapshots/0a1b`;
    expect((JSON.parse(text) as Recipe).base).toBe(place);
    expect(hubNameOfPath(place)).toBe('lab/tiny');
  });

  it('have ids by their content', async () => {
    const [first, second] = [workspace(), workspace()];
    const ids = async ({ recipe, dist }: typeof first) =>
      (await bundleOf(recipe, dist)).items.map(({ id }) => id);
    expect(await ids(first)).toEqual(await ids(second));
    first.write('base/config.json', 'other');
    const changed = await ids(first);
    const same = (await ids(second)).map((id, i) => id === changed[i]);
    expect(same).toEqual([true, false, true]);
  });

  it('leave out a base that the target has, by its name or hash', async () => {
    const { recipe, dist } = workspace();
    const { items } = await bundleOf(recipe, dist);
    const { sha256 } = items[1]!.files[1]!;
    for (const key of ['base', recipe.base, sha256]) {
      const bundle = await bundleOf(recipe, dist, { [key]: '/models/base' });
      expect(bundle.there).toEqual(['/models/base']);
      expect(bundle.items.map(({ label }) => label)).toEqual(['engine', 'dataset']);
      expect((JSON.parse(bundle.recipe) as Recipe).base).toBe('/models/base');
    }
  });

  it('may be on the Hub, here and there', async () => {
    const { recipe: usual, dist, write } = workspace();
    const cached = path.dirname(write('hub/models--lab--tiny/snapshots/0a1b/config.json'));
    write('hub/models--lab--tiny/snapshots/0a1b/model.safetensors');
    const recipe = { ...usual, base: cached };
    expect((await bundleOf(recipe, dist, { 'lab/tiny': '/models/tiny' })).there).toEqual([
      '/models/tiny',
    ]);
    const asked: string[] = [];
    const on = (found: string | null) => {
      const findModel = (name: string) => {
        asked.push(name);
        return Promise.resolve(found);
      };
      const { signal } = new AbortController();
      const bases = { 'lab/tiny': 'lab/tiny-there' };
      return makeBundle(recipe, { dist, bases, signal, target: { name: 'box', findModel } });
    };
    const bundle = await on('/hub/snapshot');
    expect([bundle.there, asked]).toEqual([['/hub/snapshot'], ['lab/tiny-there']]);
    expect((JSON.parse(bundle.recipe) as Recipe).base).toBe('/hub/snapshot');
    await expect(on(null)).rejects.toThrow('box has no lab/tiny-there in its cache of the Hub.');
    await expect(bundleOf(recipe, dist, { 'lab/tiny': 'lab/tiny' })).rejects.toThrow(
      'which this kind of target cannot look up',
    );
  });

  it('are refused by the key that names them', async () => {
    const { recipe, dist, folder } = workspace();
    const missing = { ...recipe, validation: path.join(folder, 'none.jsonl') };
    await expect(bundleOf(missing, dist)).rejects.toMatchObject({
      area: 'target',
      message: 'What validation names cannot be sent: it does not exist.',
      place: { key: 'validation' },
    });
    symlinkSync('/dev/zero', path.join(folder, 'zero'));
    const device = { ...recipe, dataset: path.join(folder, 'zero') };
    await expect(bundleOf(device, dist)).rejects.toThrow(/neither a file nor a folder/);
  });
});
