import path from 'node:path';
import * as v from 'valibot';
import { dataToolsOf } from '../../src/data/dataset/dataTools';
import { prepareData, readData, type PreparedData } from '../../src/data/dataset/prepare';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { loadModel, type LoadOptions } from '../../src/models/loadModel';
import type { LabelledInput, Model } from '../../src/models/model';
import { RecipeSchema } from '../../src/shared/recipe';
import { fixtures, NO_ADAPTER, withBase } from './models';

/** A file of the tiny Qwen3-VL with a vision encoder. */
export const atImages = (...names: string[]): string =>
  path.join(fixtures, 'qwen3-vl-images', ...names);

/** A dataset for it, as a training run reads it. */
export async function withChats(
  dataset: string,
  use: (data: PreparedData) => Promise<void>,
  settings: object = {},
): Promise<void> {
  const recipe = v.parse(RecipeSchema, { base: atImages('base'), dataset, ...settings });
  await withBase(atImages('base'), async (base) => {
    const read = await readData(recipe, null);
    const tools = await dataToolsOf(base);
    const data = await prepareData(read, { ...recipe, validation_split: 0 }, tools);
    try {
      await use(data);
    } finally {
      data.close();
    }
  });
}

/** Some rows of a dataset as one batch; not given: all, and the three rows of the fixture. */
export async function chatBatch(
  rows?: readonly number[],
  dataset = atImages('chats', 'rows.jsonl'),
): Promise<LabelledInput> {
  let input: LabelledInput | undefined;
  await withChats(dataset, async ({ train, collate }) => {
    const wanted = rows ?? Array.from({ length: train.length }, (_, i) => i);
    input = await collate(wanted.map((i) => train.at(i)));
  });
  return input!;
}

/** Loads the model with an adapter (null: none) and its vision encoder. */
export async function withImageModel(
  adapterFolder: string | null,
  use: (model: Model) => Promise<void>,
  options: LoadOptions,
): Promise<void> {
  await withBase(atImages('base'), async (base) => {
    const adapter =
      adapterFolder === null
        ? NO_ADAPTER
        : (await readPeftAdapter(adapterFolder, adapterBaseOf(base))).adapter;
    const model = await loadModel(base, adapter, options);
    await model.loadImages();
    await use(model);
    model.dispose();
  });
}
