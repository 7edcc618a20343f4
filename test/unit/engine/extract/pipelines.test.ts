import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { extractAdapterFromModel } from '../../../../src/engine/extract/extractAdapterFromModel';
import type { ExtractOptions } from '../../../../src/engine/extract/extraction';
import { mergeModel } from '../../../../src/engine/merge/mergeModel';
import { alignNames } from '../../../../src/formats/alignNames';
import { readAnyAdapter } from '../../../../src/formats/adapterFormat';
import { compareAdapters } from '../../../../src/lora/compare';
import { combineUpdates } from '../../../../src/lora/combine';
import { tensorsIn } from '../../../support/conversions';
import { largestGap, PIPELINES, updatesOf } from '../../../support/pipelines';
import { temp } from '../../../support/temp';

const inFixture = (model: string, name: string) => path.join(PIPELINES, model, name);
const signal = new AbortController().signal;

async function tunedOf(base: string, adapter: string): Promise<string> {
  const output = path.join(temp(), base.endsWith('.safetensors') ? 'tuned.safetensors' : 'tuned');
  await mergeModel({
    ...{ base, adapters: [adapter], output, scale: 1, dtype: 'float32', max_shard_size: null },
    ...{ ops: null, signal, warn: () => undefined, onProgress: () => undefined },
  });
  return output;
}

async function extract(base: string, tuned: string, more: Partial<ExtractOptions> = {}) {
  const output = path.join(temp(), 'extracted.safetensors');
  const extracted = await extractAdapterFromModel({
    ...{ base, tuned, output, target: { kind: 'rank', rank: 3 }, target_modules: 'all-linear' },
    ...{ signal, onProgress: () => undefined },
    ...more,
  });
  return { output, extracted };
}

const CONVOLUTION = /conv/;

describe.each(['sd', 'sdxl', 'flux'])('the difference of two models of %s', (model) => {
  const single = inFixture(model, 'model.safetensors');
  const folder = inFixture(model, 'diffusers');
  const adapter = inFixture(model, 'diffusers.safetensors');

  it.each([
    ['single files', single, single],
    ['folders', folder, folder],
    ['a file and a folder', single, folder],
  ])('is the adapter that was merged: %s', async (_, base, from) => {
    const { output, extracted } = await extract(base, await tunedOf(from, adapter));
    const want = [...(await updatesOf(adapter))].filter(([name]) => !CONVOLUTION.test(name));
    const have = [...(await updatesOf(output))].filter(([name]) =>
      want.some(([other]) => other === name),
    );
    expect(largestGap(new Map(have), new Map(want))).toBeLessThan(2e-6);
    expect(extracted.error).toBeLessThan(1e-5);
    const names = [...(await tensorsIn(output)).keys()];
    expect(names[0]).toMatch(base === single ? /^lora_/ : /^(?:unet|transformer|text_encoder)/);
    const left = extracted.left_out.map(({ name }) => name);
    expect(left.every((name) => CONVOLUTION.test(name))).toBe(true);
  });
});

describe('an extraction from image models', () => {
  const single = inFixture('sd', 'model.safetensors');

  it('has the convolutions that are asked for', async () => {
    const tuned = await tunedOf(single, inFixture('sd', 'diffusers.safetensors'));
    const { output } = await extract(single, tuned, { target_modules: ['conv_in', 'proj_in'] });
    const shapes = [...(await tensorsIn(output))].flatMap(([name, { shape }]) =>
      name.endsWith('lora_down.weight') ? [shape] : [],
    );
    expect(shapes).toEqual(
      expect.arrayContaining([
        [3, 3, 3, 3],
        [3, 4, 1, 1],
      ]) as unknown[],
    );
  });

  it.each<[string, string, Partial<ExtractOptions>, RegExp]>([
    ['a folder as its output', single, { output: '/w/new' }, /is written as a file/],
    ['models that are the same', single, {}, /nothing to extract/],
    ['models of other kinds', inFixture('sdxl', 'model.safetensors'), {}, /of different kinds/],
    ['an unknown module', single, { target_modules: ['to_z'] }, /no module to_z/],
  ])('is refused for %s', async (_, tuned, more, reason) => {
    await expect(extract(single, tuned, more)).rejects.toThrow(reason);
  });
});

describe('adapters of one image model with unlike names', () => {
  it.each(['sdxl', 'flux'])('are compared and combined by their modules: %s', async (model) => {
    const places = ['kohya', 'diffusers'].map((own) => inFixture(model, `${own}.safetensors`));
    const read = await Promise.all(
      places.map(async (own) => (await readAnyAdapter(own, null)).adapter),
    );
    const [a, b] = alignNames(read, places);
    const { modules: shared } = compareAdapters(a!, b!);
    expect(shared.length).toBeGreaterThan(5);
    const { adapter } = combineUpdates([a!, b!], {
      ...{ type: 'cat', weights: [1, 1], rank: null, density: 1 },
      ...{ majority_sign_method: 'total', peft: false },
    });
    const paths = new Set([...a!.modules, ...b!.modules].map((m) => m.path));
    expect(adapter.modules).toHaveLength(paths.size);
  });
});
