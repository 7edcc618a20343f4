import { expect, it } from 'vitest';
import { examineRecipe } from '../../../../src/engine/training/examine';
import { modulesOf } from '../../../../src/formats/architecture/modules';
import { modelSize } from '../../../../src/formats/architecture/size';
import { openBase } from '../../../../src/formats/openBase';
import { estimateMemory } from '../../../../src/lora/memory';
import { matchTargets } from '../../../../src/lora/targets';
import { atImages } from '../../../support/chatImages';
import { imageRecipe } from '../../../support/imageRecipe';

it('a check counts the images of chats in the memory of a step, as a training run does', async () => {
  const { file, recipe } = await imageRecipe({ rows: 4, batchSize: 2 });
  const { memory, problems, datasets } = await examineRecipe(recipe, file, {
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
