import { copyFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { examineRecipe } from '../../../../src/engine/training/examine';
import { modulesOf } from '../../../../src/formats/architecture/modules';
import { modelSize } from '../../../../src/formats/architecture/size';
import { openBase } from '../../../../src/formats/openBase';
import { estimateMemory } from '../../../../src/lora/memory';
import { matchTargets } from '../../../../src/lora/targets';
import { parseRecipe } from '../../../../src/shared/recipeFile';
import { atImages } from '../../../support/chatImages';
import { temp } from '../../../support/temp';

it('a check counts the images of chats in the memory of a step, as a training run does', async () => {
  const folder = temp();
  await copyFile(atImages('chats', 'wide.png'), path.join(folder, 'wide.png'));
  const content = [
    { type: 'image', image: 'wide.png' },
    { type: 'text', text: 'What?' },
  ];
  const messages = [
    { role: 'user', content },
    { role: 'assistant', content: 'A wide one.' },
  ];
  await writeFile(path.join(folder, 'rows.jsonl'), `${JSON.stringify({ messages })}\n`.repeat(4));
  const file = path.join(folder, 'lora.json');
  const text = JSON.stringify({
    base: atImages('base'),
    dataset: 'rows.jsonl',
    validation_split: 0,
    lora: { r: 8, target_modules: 'all-linear' },
    training: { max_length: 128, per_device_train_batch_size: 2 },
  });
  await writeFile(file, text);
  const { memory, problems, datasets } = await examineRecipe(parseRecipe(text, file), file, {
    report: () => undefined,
  });
  expect(problems).toEqual([]);
  const { rows, length, types } = memory!;
  const base = await openBase(atImages('base'));
  const { matched } = matchTargets(modulesOf(base.spec), { target_modules: 'all-linear' });
  const bytesWith = (images?: { largest: number; tokens: number }) =>
    estimateMemory(
      modelSize(base),
      { modules: matched, ranks: 8 },
      { rows, length, images },
      { base_dtype: 'float32', recomputed_layers: 0 },
    ).total;
  const counted = types.find(({ base_dtype }) => base_dtype === 'float32')!.bytes;
  expect(counted).toBeGreaterThan(bytesWith());
  const { largest, tokens } = datasets[0]!.statistics!.images!;
  expect(tokens).toBe(largest); // four images, each with a token for four patches
  expect(counted).toBe(bytesWith({ largest, tokens }));
  await base.close();
});
