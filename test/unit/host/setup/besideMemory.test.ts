import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { examineRecipe } from '../../../../src/engine/training/examine';
import { modelSize } from '../../../../src/formats/architecture/size';
import { usualMemory } from '../../../../src/formats/architecture/usualMemory';
import { openBase } from '../../../../src/formats/openBase';
import { figuresOf } from '../../../../src/host/configure/figures';
import { costOf, factsOf, recipeOfBase } from '../../../../src/host/setup/costs';
import { countedFacts } from '../../../../src/host/setup/datasetFacts';
import { readBaseHeaders } from '../../../../src/inspect/answer';
import { countTrainable } from '../../../../src/lora/count';
import { matchTargets } from '../../../../src/lora/targets';
import { parseRecipe } from '../../../../src/shared/recipeFile';
import { temp } from '../../../support/temp';

const MACHINE = { hasBf16: true, hasKernels: true, multipliesBf16: false, available: 2 ** 40 };
const TEXT = JSON.stringify({ text: 'a text' });
/** As many labels as the config of the base names. */
const RATED = [0, 1, 2].map((label) => JSON.stringify({ text: 'a text', label })).join('\n');

interface Case {
  readonly family?: string;
  readonly lora?: object;
  readonly more?: object;
  readonly rows?: string;
}

async function shownFor({ family = 'llama', lora = {}, more = {}, rows = TEXT }: Case) {
  const folder = temp();
  await writeFile(path.join(folder, 'rows.jsonl'), `${rows}\n`.repeat(2));
  const file = path.join(folder, 'lora.json');
  const text = JSON.stringify({
    base: path.resolve('test/fixtures', family, 'base'),
    dataset: 'rows.jsonl',
    validation_split: 0,
    lora: { r: 8, target_modules: 'all-linear', ...lora },
    training: { max_length: 64, per_device_train_batch_size: 2 },
    ...more,
  });
  await writeFile(file, text);
  const recipe = parseRecipe(text, file);
  const checked = await examineRecipe(recipe, file, { report: () => undefined });
  expect(checked.problems).toEqual([]);
  const base = factsOf(await readBaseHeaders(recipe.base, recipeOfBase(recipe)));
  const facts = countedFacts({ datasets: checked.datasets, sources: checked.sources ?? [] })!;
  const { matched: chosen } = matchTargets(base.modules, recipe.lora);
  const figures = figuresOf(base, recipe, { settings: recipe.lora, chosen, facts }, MACHINE);
  return { memory: checked.memory!, figures, base, chosen };
}

it.each<Case>([
  {},
  { lora: { modules_to_save: ['lm_head'] } },
  { lora: { modules_to_save: ['embed_tokens', 'norm'] } },
  { lora: { modules_to_save: ['down_proj'] } },
  { lora: { trainable_token_indices: [3, 5, 7] } },
  { lora: { trainable_token_indices: { embed_tokens: [1, 2], lm_head: [1, 2] } } },
  { lora: { use_dora: true } },
  { lora: { use_dora: true, modules_to_save: ['lm_head'] } },
  { family: 'qwen2', lora: { bias: 'lora_only', target_modules: ['q_proj', 'o_proj'] } },
  { family: 'bert', more: { task: 'seq_cls' }, rows: RATED },
])('the page estimates the same recipe as lora check does: %j', async (settings) => {
  const { memory, figures } = await shownFor(settings);
  for (const type of ['float32', 'bfloat16']) {
    const [checked, shown] = [memory.types, figures.types].map((types) =>
      types.find(({ base_dtype }) => base_dtype === type),
    );
    if (type === 'float32') expect(checked).toBeDefined();
    if (!checked) continue;
    const { bytes, recomputed_bytes } = checked;
    expect(shown).toMatchObject({ bytes, recomputed_bytes });
  }
  expect(figures.memory!.total).toBe(figures.types[0]!.bytes);
});

it('counts matrices in blocks that train in float32, as a training run does', async () => {
  const folder = path.resolve('test/fixtures/quantized/bnb-nf4');
  const own = { task: 'causal_lm', bias: 'none', trainable_token_indices: null } as const;
  const sizeFor = async (modules_to_save: readonly string[] | null) =>
    (await readBaseHeaders(folder, { ...own, modules_to_save })).size!;
  const trained = ['model.layers.0.mlp.down_proj.weight', 'model.layers.1.mlp.down_proj.weight'];
  const base = await openBase(folder);
  expect(await sizeFor(['down_proj'])).toEqual(modelSize(base, trained));
  expect(await sizeFor(null)).toEqual(modelSize(base));
  expect(modelSize(base, trained)).not.toEqual(modelSize(base));
  await base.close();
});

it('shows the numbers and the file with what trains beside the factors', async () => {
  const plain = await shownFor({});
  const saved = await shownFor({ lora: { modules_to_save: ['embed_tokens', 'norm'] } });
  const rows = await shownFor({ lora: { trainable_token_indices: [3, 5, 7] } });
  const table = plain.base.modules.find(({ kind }) => kind === 'embedding')!;
  const width = table.out_features;
  const { trainable, fileBytes } = plain.figures;
  const whole = table.in_features * width + width;
  expect(saved.figures.trainable - trainable).toBeGreaterThanOrEqual(whole);
  expect(rows.figures.trainable - trainable).toBe(3 * width);
  expect(rows.figures.fileBytes - fileBytes).toBe(4 * 3 * width + 150);
  expect(saved.figures.memory!.total).toBeGreaterThan(plain.figures.memory!.total + 36 * whole);
});

it('counts the head of a base for classification in the costs of Train Adapter', async () => {
  const { base, chosen } = await shownFor({
    family: 'bert',
    more: { task: 'seq_cls' },
    rows: RATED,
  });
  const { trainable } = costOf(base, 8, 'all-linear', MACHINE);
  const head = base.besides!.whole;
  expect(head).toBeGreaterThan(0);
  expect(trainable).toBe(countTrainable(chosen, 8).trainable + head);
});

it.each(['bert', 'roberta', 'vit', 'modernbert', 'llama'])(
  'estimates a base alone as Train Adapter does: %s',
  async (family) => {
    const folder = path.resolve('test/fixtures', family, 'base');
    const opened = await openBase(folder);
    const { types } = usualMemory(opened, MACHINE);
    await opened.close();
    const cost = costOf(factsOf(await readBaseHeaders(folder)), 8, 'all-linear', MACHINE);
    expect(types).toEqual(cost.types);
  },
);
