import { cpSync, lstatSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeModel } from '../../../../../src/engine/merge/mergeModel';
import type { MergeOptions } from '../../../../../src/engine/merge/writeMerged';
import { verifyMerge } from '../../../../../src/engine/merge/verify';
import { fromBF16, fromF16, toBF16, toF16 } from '../../../../../src/formats/floats';
import { withSafetensors } from '../../../../../src/formats/safetensors/read';
import { tensorsIn } from '../../../../support/conversions';
import { fileOf, type Shapes } from '../../../../support/loraFiles';
import { PIPELINES } from '../../../../support/pipelines';
import { temp } from '../../../../support/temp';

const MODELS = ['sd', 'sdxl', 'flux'] as const;
type Model = (typeof MODELS)[number];
const DTYPES = { sd: 'F16', sdxl: 'F32', flux: 'BF16' } as const;

const single = (model: Model) => path.join(PIPELINES, model, 'model.safetensors');
const folder = (model: Model) => path.join(PIPELINES, model, 'diffusers');
const adapterOf = (model: Model, name: string) =>
  path.join(PIPELINES, model, `${name}.safetensors`);

async function merge(base: string, adapter: string, more: Partial<MergeOptions> = {}) {
  const name = base.endsWith('.safetensors') ? 'merged.safetensors' : 'merged';
  const output = path.join(temp(), name);
  const warnings: string[] = [];
  const certificate = await mergeModel({
    ...{ base, adapters: [adapter], output, scale: 1, dtype: 'keep', max_shard_size: null },
    ...{ ops: null, signal: new AbortController().signal, onProgress: () => undefined },
    warn: (message) => warnings.push(message),
    ...more,
  });
  return { output, certificate, warnings };
}

/** The tensors of a single file, or of a folder's models with their names in Diffusers. */
async function tensorsOf(model: string): Promise<Map<string, Float32Array>> {
  const parts = model.endsWith('.safetensors')
    ? [['', model] as const]
    : ['unet', 'transformer', 'text_encoder', 'text_encoder_2'].map((own) => {
        const stem = /^(?:unet|transformer)$/.test(own) ? 'diffusion_pytorch_model' : 'model';
        return [`${own}.`, path.join(model, own, `${stem}.safetensors`)] as const;
      });
  const found = new Map<string, Float32Array>();
  for (const [prefix, file] of parts) {
    const tensors = await tensorsIn(file).catch(() => new Map<string, { data: Float32Array }>());
    for (const [name, { data }] of tensors) found.set(prefix + name, data);
  }
  return found;
}

const ROUNDED = {
  F32: (values: Float32Array) => values,
  F16: (values: Float32Array) => fromF16(toF16(values)),
  BF16: (values: Float32Array) => fromBF16(toBF16(values)),
};

/** What NumPy has reckoned for an adapter, by the tensors' names in the model. */
async function expectedOf(model: Model, adapter: string, layout: 'original' | 'diffusers') {
  const all = await tensorsIn(path.join(PIPELINES, model, 'expected.safetensors'));
  const start = `${adapter}/${layout}/`;
  return new Map(
    [...all].flatMap(([name, { data }]) =>
      name.startsWith(start) ? [[name.slice(start.length), data] as const] : [],
    ),
  );
}

describe.each(MODELS)('a merge into %s', (model) => {
  it.each(
    ['kohya', 'diffusers', 'dora', 'lycoris'].flatMap((adapter) => [
      [adapter, 'original', single(model)] as const,
      [adapter, 'diffusers', folder(model)] as const,
    ]),
  )('has the numbers of NumPy: %s, %s names', async (adapter, layout, base) => {
    const { output, certificate } = await merge(base, adapterOf(model, adapter));
    const [before, after] = [await tensorsOf(base), await tensorsOf(output)];
    const expected = await expectedOf(model, adapter, layout);
    expect(expected.size).toBeGreaterThan(5);
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    for (const [name, data] of after) {
      const want = expected.get(name);
      const rounded = want ? ROUNDED[DTYPES[model]](want) : before.get(name)!;
      const gaps = data.map((x, i) => Math.abs(x - rounded[i]!) / Math.max(1, Math.abs(x)));
      expect(Math.max(...gaps), name).toBeLessThanOrEqual(DTYPES[model] === 'F32' ? 2.4e-7 : 0);
    }
    expect(certificate.tensors).toHaveLength(expected.size);
    const rounding = Math.max(...certificate.tensors.map((own) => own.rounding_error));
    expect(certificate.weights!.largest_gap).toBeLessThanOrEqual(rounding + 5e-7);
    expect(certificate.weights!.rms_gap).toBeLessThanOrEqual(certificate.weights!.largest_gap);
    expect(certificate.parity).toBeNull();
    const { outputs } = await verifyMerge(output, new AbortController().signal);
    expect(outputs.every(({ state }) => state === 'same')).toBe(true);
  });
});

describe('a merged image model', () => {
  it('keeps dtypes, metadata and tensors that are not adapted', async () => {
    const { output } = await merge(single('sd'), adapterOf('sd', 'kohya'));
    const headerOf = (file: string) =>
      withSafetensors(file, ({ header }) => {
        const tensors = [...header.tensors].map(([name, { dtype, shape }]) => [name, dtype, shape]);
        return Promise.resolve({ tensors: tensors.sort(), metadata: header.metadata });
      });
    expect(await headerOf(output)).toEqual(await headerOf(single('sd')));
  });

  it('has the other files of a folder', async () => {
    const { output, certificate } = await merge(folder('sdxl'), adapterOf('sdxl', 'kohya'));
    for (const name of ['model_index.json', 'unet/config.json'])
      expect(readFileSync(path.join(output, name))).toEqual(
        readFileSync(path.join(folder('sdxl'), name)),
      );
    expect(certificate.outputs.map(({ file }) => file)).toEqual([
      'unet/diffusion_pytorch_model.safetensors',
      'text_encoder/model.safetensors',
      'text_encoder_2/model.safetensors',
    ]);
  });

  it('has the folders that links of its base lead to', async () => {
    const [base, shared] = [path.join(temp(), 'base'), temp()];
    cpSync(folder('flux'), base, { recursive: true });
    writeFileSync(path.join(shared, 'config.json'), '{}');
    symlinkSync(shared, path.join(base, 'vae'), 'junction');
    const { output } = await merge(base, adapterOf('flux', 'diffusers'));
    expect(lstatSync(path.join(output, 'vae')).isDirectory()).toBe(true);
    expect(readFileSync(path.join(output, 'vae', 'config.json'), 'utf8')).toBe('{}');
  });

  it('is of one model alone, where the folder is', async () => {
    const base = path.join(folder('flux'), 'transformer');
    const { output } = await merge(base, adapterOf('flux', 'diffusers'));
    const whole = await merge(folder('flux'), adapterOf('flux', 'diffusers'));
    const name = 'diffusion_pytorch_model.safetensors';
    expect(readFileSync(path.join(output, name))).toEqual(
      readFileSync(path.join(whole.output, 'transformer', name)),
    );
  });

  it('has the scaled update, and that of several adapters', async () => {
    const [a, b] = [adapterOf('flux', 'kohya'), adapterOf('flux', 'diffusers')];
    const base = single('flux');
    const merged = async (adapters: readonly string[], scale: number) => {
      const { output } = await merge(base, a, { adapters, scale, dtype: 'float32' });
      return tensorsOf(output);
    };
    const [before, both] = [await tensorsOf(base), await merged([a, b], -0.5)];
    const [one, other] = [await merged([a], 1), await merged([b], 1)];
    for (const [name, data] of both) {
      const w = before.get(name)!;
      const want = w.map((x, i) => x - 0.5 * (one.get(name)![i]! + other.get(name)![i]! - 2 * x));
      expect(data.every((x, i) => Math.abs(x - want[i]!) < 2e-6)).toBe(true);
    }
  });
});

const pair = (name: string, A: readonly number[], B: readonly number[]): Shapes => ({
  [`${name}.lora_A.weight`]: A,
  [`${name}.lora_B.weight`]: B,
});

describe('an adapter that does not fit an image model', () => {
  it('of another kind is refused with the first module that does not fit', async () => {
    await expect(merge(single('sd'), adapterOf('sdxl', 'kohya'))).rejects.toThrow(
      /(?:which the base lacks|does not fit this base: .* in the base)\. Only \d+ of \d+ modules fit the base\. The adapter is of SDXL, the base is Stable Diffusion 1\./,
    );
    await expect(merge(folder('flux'), adapterOf('sd', 'kohya'))).rejects.toThrow(
      /The adapter changes .*, which the base lacks\. The adapter is of Stable Diffusion 1, the base is Flux\./,
    );
  });

  it('is merged as far as it fits, and what is left out is named', async () => {
    const file = await fileOf({
      ...pair('unet.time_embedding.linear_1', [2, 4], [6, 2]),
      ...pair('unet.mid_block.attentions.0.proj_in', [2, 4], [4, 2]),
    });
    await expect(merge(single('sd'), file)).rejects.toThrow(
      /changes unet\.mid_block\.attentions\.0\.proj_in, which the base lacks\. Only 1 of 2 modules/,
    );
    const { certificate, warnings } = await merge(single('sd'), file, { partial: true });
    expect(certificate.tensors.map(({ name }) => name)).toEqual([
      'model.diffusion_model.time_embed.0.weight',
    ]);
    expect(warnings[1]).toMatch(/1 of 2 modules does not fit .* unet\.mid_block\.attentions\.0/);
  });

  it.each<[string, Shapes, RegExp]>([
    ['no known module', pair('unet.x', [2, 4], [4, 2]), /unet\.x, which is not a known module/],
    [
      'another kernel',
      pair('unet.conv_in', [2, 27, 1, 1], [4, 2, 1, 1]),
      /unet\.conv_in is 4 x 27 in the adapter, 4 x 3 x 3 x 3 in the base/,
    ],
    [
      'two updates of one module',
      {
        ...pair('unet.time_embedding.linear_1', [2, 4], [6, 2]),
        ...pair('model.diffusion_model.time_embed.0', [2, 4], [6, 2]),
      },
      /time_embed\.0 and unet\.time_embedding\.linear_1 are both unet\.time_embedding/,
    ],
  ])('is refused for %s', async (_, shapes, reason) => {
    await expect(merge(single('sd'), await fileOf(shapes))).rejects.toThrow(reason);
  });
});

describe('a merge into an image model is refused', () => {
  const kohya = adapterOf('sd', 'kohya');

  it.each<[string, Partial<MergeOptions>, RegExp]>([
    ['for a folder', { output: '/w/new/merged' }, /merged into a \.safetensors file/],
    ['for q8_0', { dtype: 'q8_0' }, /cannot be stored as q8_0/],
    ['in other shards', { max_shard_size: 1e9 }, /stay those of its base/],
  ])('%s', async (_, more, reason) => {
    await expect(merge(single('sd'), kohya, more)).rejects.toThrow(reason);
  });

  it('with quantized weights, or a pipeline that is not known', async () => {
    const name = 'double_blocks.0.img_attn.proj';
    const quantized = await fileOf({ [`${name}.weight`]: [4, 4], [`${name}.scale_weight`]: [1] });
    await expect(merge(quantized, adapterOf('flux', 'kohya'))).rejects.toThrow(/are quantized/);
  });

  it('beside DoRA, and with a scale for it', async () => {
    const dora = adapterOf('sd', 'dora');
    await expect(merge(single('sd'), dora, { adapters: [kohya, dora] })).rejects.toThrow(/alone/);
    await expect(merge(single('sd'), dora, { scale: 2 })).rejects.toThrow(/cannot be scaled/);
  });
});
