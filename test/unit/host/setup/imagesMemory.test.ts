import { expect, it } from 'vitest';
import { examineRecipe } from '../../../../src/engine/training/examine';
import { describeStepMemory } from '../../../../src/engine/training/stepMemoryText';
import { openBase } from '../../../../src/formats/openBase';
import { usualMemory } from '../../../../src/formats/architecture/usualMemory';
import { mostPatches } from '../../../../src/data/images/chatImages';
import { figuresOf } from '../../../../src/host/configure/figures';
import { costOf, costText, factsOf, withImages } from '../../../../src/host/setup/costs';
import { countedFacts } from '../../../../src/host/setup/datasetFacts';
import { batchOf } from '../../../../src/host/setup/forecast';
import { readBaseHeaders } from '../../../../src/inspect/answer';
import { matchTargets } from '../../../../src/lora/targets';
import type { StepMemory } from '../../../../src/shared/stepMemory';
import { atImages } from '../../../support/chatImages';
import { imageRecipe } from '../../../support/imageRecipe';

const MACHINE = { hasBf16: true, hasKernels: true, multipliesBf16: false, available: 2 ** 40 };
const base = factsOf(await readBaseHeaders(atImages('base')));

const float32 = ({ types }: Pick<StepMemory, 'types'>) =>
  types.find(({ base_dtype }) => base_dtype === 'float32')!;

it.each([true, false])(
  'the pages foretell what lora check does of the same run, with images: %s',
  async (hasImages) => {
    const { file, recipe } = await imageRecipe({ rows: 3, hasImages, batchSize: 4 });
    const checked = await examineRecipe(recipe, file, { report: () => undefined });
    const memory = checked.memory!;
    const facts = countedFacts({ datasets: checked.datasets, sources: checked.sources ?? [] })!;
    const { matched } = matchTargets(base.modules, recipe.lora);
    const choice = { settings: recipe.lora, chosen: matched, facts };
    const figures = figuresOf(base, recipe, choice, MACHINE);
    const priced = { ...base, batch: batchOf(base, recipe, facts) };
    const cost = costOf(priced, 8, 'all-linear', MACHINE);
    const { bytes, recomputed_bytes } = float32(memory);
    for (const shown of [figures, cost])
      expect(float32(shown)).toMatchObject({ bytes, recomputed_bytes });
    expect([figures.memory!.total, cost.memory]).toEqual([bytes, bytes]);
    expect(memory.rows).toBe(3);
    expect([figures.images, cost.images]).toEqual([memory.images ?? null, memory.images]);
    const { images } = facts;
    expect(images !== undefined).toBe(hasImages);
    if (!images) return;
    const tokens = images.largest / 4;
    expect(memory.images).toEqual({ tokens, from: 'dataset' });
    expect(describeStepMemory(memory)[0]).toContain(
      `, with images of up to ${tokens} tokens (the largest of the dataset), of `,
    );
  },
);

it('assumes images as large as the base makes them where the rows are not counted', async () => {
  const { recipe } = await imageRecipe({ rows: 3, batchSize: 4 });
  const most = base.image_patches!;
  const { matched } = matchTargets(base.modules, recipe.lora);
  const chosen = { settings: recipe.lora, chosen: matched };
  const { images, memory } = figuresOf(base, recipe, chosen, MACHINE);
  expect(images).toEqual({ tokens: Math.min(most / 4, 128), from: 'base' });
  const small = factsOf({ ...base, image_patches: 16 });
  const less = figuresOf(small, recipe, chosen, MACHINE);
  expect(less.images).toEqual({ tokens: 4, from: 'base' });
  const facts = { examples: 100, tokens: 12_800, longest: 128, sequences: 1 };
  const texts = figuresOf(base, recipe, { ...chosen, facts }, MACHINE);
  expect(texts.length).toBe(128);
  expect(texts.images).toBeNull();
  expect(texts.memory!.total).toBeLessThan(memory!.total);
  const cost = costOf(small, 8, 'all-linear', MACHINE);
  expect(costText(small, cost, 2 ** 30)).toMatch(
    / of 1 GiB · with images of up to 4 tokens \(assumed\)$/,
  );
  expect(withImages('fits', null)).toBe('fits');
});

it('says of a base alone which images are assumed', async () => {
  const opened = await openBase(atImages('base'));
  const { spec, parameters, weights } = opened;
  const image_patches = await mostPatches(opened);
  expect(image_patches).toBe(base.image_patches);
  const known = usualMemory({ spec, parameters, weights, image_patches }, MACHINE);
  const cost = costOf(base, 8, 'all-linear', MACHINE);
  expect(float32(known).bytes).toBe(cost.memory);
  expect(known.images).toEqual(cost.images);
  expect(describeStepMemory(known)[0]).toMatch(
    /with images of up to \d+ tokens \(assumed: the largest that the base and the row allow\), of /,
  );
  await opened.close();
});
