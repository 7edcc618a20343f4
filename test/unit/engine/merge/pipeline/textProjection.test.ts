import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { convertAdapterFile } from '../../../../../src/engine/convert/convertAdapterFile';
import { extractAdapterFromModel } from '../../../../../src/engine/extract/extractAdapterFromModel';
import { mergeModel } from '../../../../../src/engine/merge/mergeModel';
import { pipelineModule } from '../../../../../src/formats/diffusion/names';
import { tensorsIn } from '../../../../support/conversions';
import { fileOf } from '../../../../support/loraFiles';
import { gap } from '../../../../support/models';
import { largestGap, PIPELINES, updatesOf } from '../../../../support/pipelines';
import { temp } from '../../../../support/temp';

const FOLDER = path.join(PIPELINES, 'text-projection');
const ADAPTER = path.join(FOLDER, 'adapter.safetensors');
const MODULE = 'text_encoder_2.text_projection';
const FORMS = ['original', 'diffusers'] as const;
type Form = (typeof FORMS)[number];

const BASES = { original: 'model.safetensors', diffusers: 'diffusers' };
/** The weight's file within the model, and its name there. */
const WEIGHTS = {
  original: ['', 'conditioner.embedders.1.model.text_projection'],
  diffusers: ['text_encoder_2/model.safetensors', 'text_projection.weight'],
} as const;
const baseOf = (form: Form) => path.join(FOLDER, BASES[form]);
const signal = new AbortController().signal;

async function merge(form: Form, adapter: string): Promise<string> {
  const output = path.join(temp(), BASES[form]);
  await mergeModel({
    ...{ base: baseOf(form), adapters: [adapter], output, scale: 1, dtype: 'keep' },
    ...{ max_shard_size: null, ops: null, signal, partial: false },
    ...{ warn: () => undefined, onProgress: () => undefined },
  });
  return output;
}

async function weightOf(model: string, form: Form) {
  const [file, name] = WEIGHTS[form];
  return (await tensorsIn(path.join(model, file))).get(name)!;
}

const extract = async (base: Form, tuned: string): Promise<string> => {
  const output = path.join(temp(), 'extracted.safetensors');
  await extractAdapterFromModel({
    ...{ base: baseOf(base), tuned, output, target: { kind: 'rank', rank: 3 } },
    ...{ target_modules: 'all-linear', signal, onProgress: () => undefined },
  });
  return output;
};

describe.each(FORMS)("SDXL's text projection, %s names", (form) => {
  it('is merged with the numbers of NumPy', async () => {
    const merged = await weightOf(await merge(form, ADAPTER), form);
    const want = (await tensorsIn(path.join(FOLDER, 'expected.safetensors'))).get(form)!;
    const before = await weightOf(baseOf(form), form);
    expect(merged.shape).toEqual(want.shape);
    expect(gap(merged.data, want.data)).toBeLessThanOrEqual(2.4e-7);
    expect(gap(merged.data, before.data)).toBeGreaterThan(1);
  });

  it('is extracted from a merged model in either form', async () => {
    const tuned = await merge(form, ADAPTER);
    for (const base of FORMS) {
      const have = await updatesOf(await extract(base, tuned));
      expect(largestGap(have, await updatesOf(ADAPTER))).toBeLessThan(2e-6);
    }
  });
});

it("has one name in kohya's files and one in Diffusers', both ways", async () => {
  const convert = async (adapter: string, to: 'kohya' | 'diffusers') => {
    const output = path.join(temp(), 'converted.safetensors');
    await convertAdapterFile({
      ...{ adapter, to, output, base: baseOf('diffusers'), partial: false, dtype: 'keep' },
      ...{ merge: false, warn: () => undefined },
    });
    return output;
  };
  const diffusers = await convert(ADAPTER, 'diffusers');
  const names = [...(await tensorsIn(diffusers)).keys()].sort();
  expect(names).toEqual(['A', 'B'].map((own) => `${MODULE}.lora_${own}.weight`));
  const back = await tensorsIn(await convert(diffusers, 'kohya'));
  expect([...back.keys()].sort()).toEqual([...(await tensorsIn(ADAPTER)).keys()].sort());
});

it('belongs to the second text encoder alone', () => {
  expect(pipelineModule('lora_te2_text_projection')?.paths).toEqual([MODULE]);
  for (const name of ['lora_te1_text_projection', 'lora_te_text_projection', 'text_projection'])
    expect(pipelineModule(name)).toBeNull();
});

it('is refused with DoRA where the weight is transposed, and merged where it is not', async () => {
  const name = 'lora_te2_text_projection';
  const dora = await fileOf({
    [`${name}.lora_down.weight`]: [2, 6],
    [`${name}.lora_up.weight`]: [4, 2],
    [`${name}.dora_scale`]: [4, 1],
  });
  await expect(merge('original', dora)).rejects.toThrow(
    /conditioner\.embedders\.1\.model\.text_projection, which is transposed: only LoRA without DoRA/,
  );
  const merged = await weightOf(await merge('diffusers', dora), 'diffusers');
  expect(merged.shape).toEqual([4, 6]);
});

it('is refused with the sizes of both where they differ', async () => {
  const name = 'lora_te2_text_projection';
  const other = await fileOf({
    [`${name}.lora_down.weight`]: [2, 4],
    [`${name}.lora_up.weight`]: [6, 2],
  });
  for (const form of FORMS)
    await expect(merge(form, other)).rejects.toThrow(/is 6 x 4 in the adapter, 4 x 6 in the base/);
});
