import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { extractAdapterFromModel } from '../../../../src/engine/extract/extractAdapterFromModel';
import type { ExtractOptions } from '../../../../src/engine/extract/extraction';
import { mergeModel } from '../../../../src/engine/merge/mergeModel';
import { alignNames } from '../../../../src/formats/alignNames';
import { readAnyAdapter } from '../../../../src/formats/adapterFormat';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
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

  it('names the tensors that differ and are in no adapter', async () => {
    const base = path.join(temp(), 'base.safetensors');
    const tuned = path.join(temp(), 'tuned.safetensors');
    const tensor = (name: string, data: readonly number[], shape = [data.length]) => ({
      ...{ name, shape, dtype: 'F32' as const },
      data: Float32Array.from(data),
    });
    const query = 'model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight';
    const gone = query.replace('to_q', 'to_k');
    await writeSafetensors(base, [
      tensor(query, [1, 2, 3, 4], [2, 2]),
      tensor(gone, [1, 2, 3, 4], [2, 2]),
      tensor('norm.bias', [1, 2]),
      tensor('same.bias', [1, 2]),
    ]);
    await writeSafetensors(tuned, [
      tensor(query, [1, 2, 3, 6], [2, 2]),
      tensor('norm.bias', [4, 6]),
      tensor('same.bias', [1, 2]),
      tensor('new.bias', [1]),
    ]);
    const { extracted } = await extract(base, tuned, { target: { kind: 'rank', rank: 1 } });
    expect(extracted.left_out).toEqual([
      { name: gone, norm: null },
      { name: 'new.bias', norm: null },
      { name: 'norm.bias', norm: 5 },
    ]);
    const broken = path.join(temp(), 'broken.safetensors');
    await writeSafetensors(broken, [
      tensor(query, [1, 2, 3, 6], [2, 2]),
      tensor('norm.bias', [4, NaN]),
    ]);
    await expect(
      extract(base, broken, { target: { kind: 'rank', rank: 1 } }),
    ).rejects.toMatchObject({ place: { file: broken, tensor: 'norm.bias' } });
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
