import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { convertAdapterFile } from '../../../../src/engine/convert/convertAdapterFile';
import type { AdapterFormat } from '../../../../src/formats/adapterFormat';
import { tensorsIn } from '../../../support/conversions';
import { fileOf, type Shapes } from '../../../support/loraFiles';
import { largestGap, PIPELINES, updatesOf } from '../../../support/pipelines';
import { temp } from '../../../support/temp';

const fixture = (model: string, name: string) => path.join(PIPELINES, model, `${name}.safetensors`);

async function convert(adapter: string, to: AdapterFormat): Promise<string> {
  const output = path.join(temp(), to === 'peft' ? 'adapter' : 'adapter.safetensors');
  const converted = await convertAdapterFile({
    ...{ adapter, to, output, base: null, partial: false, dtype: 'keep', merge: false },
    warn: () => undefined,
  });
  expect(converted).toMatchObject({ kind: 'written' });
  return output;
}

/** The modules of a file, without the ends of its tensors' names. */
const modulesIn = async (file: string): Promise<string[]> => [
  ...new Set(
    [...(await tensorsIn(file)).keys()].map((name) =>
      name.replace(/\.(?:alpha|lora_(?:down|up|A|B)\.weight|lora_magnitude_vector)$/, ''),
    ),
  ),
];

describe.each(['sd', 'sdxl', 'flux'])('an adapter of %s', (model) => {
  it.each(['diffusers', 'ai-toolkit', 'peft'] as const)(
    "of kohya's scripts has the same updates for %s and back",
    async (to) => {
      const file = fixture(model, 'kohya');
      const there = await convert(file, to);
      const isKohya = to === 'ai-toolkit' && model !== 'flux';
      const back = isKohya ? there : await convert(there, 'kohya');
      expect(largestGap(await updatesOf(file), await updatesOf(there))).toBeLessThan(3e-7);
      expect(largestGap(await updatesOf(file), await updatesOf(back))).toBeLessThan(3e-7);
    },
  );

  it("of Diffusers has the same updates for kohya's scripts and back", async () => {
    const file = fixture(model, 'diffusers');
    const there = await convert(file, 'kohya');
    const back = await convert(there, 'diffusers');
    expect(await updatesOf(there)).toEqual(await updatesOf(file));
    expect(await tensorsIn(back)).toEqual(await tensorsIn(file));
  });
});

describe('the names of a UNet', () => {
  it.each([
    ['sd', 'kohya', 'lora_unet_down_blocks_0_', 'lora_te_'],
    ['sd', 'ai-toolkit', 'lora_unet_down_blocks_0_', 'lora_te_'],
    ['sdxl', 'kohya', 'lora_unet_input_blocks_4_', 'lora_te1_'],
    ['sdxl', 'ai-toolkit', 'lora_unet_input_blocks_4_', 'lora_te1_'],
  ] as const)('of %s are those that %s reads', async (model, to, unet, encoder) => {
    const modules = await modulesIn(await convert(fixture(model, 'diffusers'), to));
    const others = unet.includes('input') ? /_(?:down|up)_blocks_/ : /_(?:in|out)put_blocks_/;
    expect(modules.filter((name) => others.test(name))).toEqual([]);
    for (const start of [unet, encoder])
      expect(modules.filter((name) => name.startsWith(start)).length).toBeGreaterThan(0);
    expect(modules.some((name) => name.startsWith('lora_te2_'))).toBe(model === 'sdxl');
  });

  const pairs = (name: string): Shapes => ({
    [`${name}.lora_down.weight`]: [2, 4],
    [`${name}.lora_up.weight`]: [4, 2],
  });

  it("are changed in a file of kohya's with those of Diffusers", async () => {
    const at = 'attentions_0_transformer_blocks_1_attn1_to_q';
    const file = await fileOf({
      ...pairs(`lora_unet_down_blocks_1_${at}`),
      ...pairs('lora_unet_up_blocks_0_upsamplers_0_conv'),
    });
    const there = await convert(file, 'kohya');
    expect((await modulesIn(there)).sort()).toEqual([
      'lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q',
      'lora_unet_output_blocks_2_2_conv',
    ]);
    await expect(convert(there, 'kohya')).rejects.toThrow(/has this format already \(kohya\)/);
  });

  it('stay where both UNets have the modules', async () => {
    const name = 'lora_unet_down_blocks_1_attentions_0_proj_in';
    const file = await fileOf(pairs(name));
    expect(await modulesIn(await convert(await convert(file, 'peft'), 'kohya'))).toEqual([name]);
  });

  it('are those of the base that is named', async () => {
    const name = 'lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q';
    const output = path.join(temp(), 'adapter.safetensors');
    await convertAdapterFile({
      ...{ adapter: await fileOf(pairs(name)), to: 'ai-toolkit', output, partial: false },
      ...{ dtype: 'keep', merge: false, base: path.join(PIPELINES, 'sdxl', 'model.safetensors') },
      warn: () => undefined,
    });
    expect(await modulesIn(output)).toEqual([
      'lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q',
    ]);
  });
});

it('modules that an image model lacks are not kept silently (--partial)', async () => {
  const shapes: Shapes = Object.fromEntries(
    ['down_blocks_1_attentions_0_proj_in', 'down_blocks_3_resnets_0_time_emb_proj'].flatMap(
      (name) => [
        [`lora_unet_${name}.lora_down.weight`, [2, 4]],
        [`lora_unet_${name}.lora_up.weight`, [4, 2]],
      ],
    ),
  );
  const converting = convertAdapterFile({
    ...{ adapter: await fileOf(shapes), to: 'diffusers', merge: false, partial: true },
    ...{ dtype: 'keep', base: path.join(PIPELINES, 'sdxl', 'model.safetensors') },
    output: path.join(temp(), 'adapter.safetensors'),
    warn: () => undefined,
  });
  await expect(converting).rejects.toMatchObject({
    message: expect.stringContaining('down_blocks_3_resnets_0_time_emb_proj') as string,
    fix: expect.stringContaining('a conversion leaves out no modules') as string,
  });
});

describe("Flux' weights", () => {
  it("are those of the original checkpoint in kohya's files, and Diffusers' elsewhere", async () => {
    const kohya = await convert(fixture('flux', 'diffusers'), 'kohya');
    expect(await modulesIn(kohya)).toEqual(
      expect.arrayContaining([
        'lora_unet_double_blocks_0_img_attn_qkv',
        'lora_unet_final_layer_adaLN_modulation_1',
        'lora_unet_single_blocks_0_linear1',
      ]) as string[],
    );
    const toolkit = await convert(fixture('flux', 'kohya'), 'ai-toolkit');
    expect(await modulesIn(toolkit)).toEqual(
      expect.arrayContaining([
        'transformer.norm_out.linear',
        'transformer.single_transformer_blocks.0.proj_mlp',
        'transformer.transformer_blocks.0.attn.add_q_proj',
      ]) as string[],
    );
  });

  it('share A where their parts do', async () => {
    const separate = await convert(fixture('flux', 'kohya'), 'diffusers');
    const again = await tensorsIn(await convert(separate, 'kohya'));
    const before = await tensorsIn(fixture('flux', 'kohya'));
    for (const [name, { shape }] of before)
      if (name.endsWith('lora_down.weight')) expect(again.get(name)!.shape).toEqual(shape);
  });

  it("with the original names and Diffusers' factors get Diffusers' names", async () => {
    const name = 'diffusion_model.double_blocks.0.img_attn.qkv';
    const shapes: Shapes = {
      [`${name}.lora_A.weight`]: [2, 4],
      [`${name}.lora_B.weight`]: [12, 2],
    };
    const converted = await convert(await fileOf(shapes), 'diffusers');
    expect(await modulesIn(converted)).toEqual(
      ['to_k', 'to_q', 'to_v'].map((own) => `transformer.transformer_blocks.0.attn.${own}`),
    );
  });
});

describe('the scale', () => {
  it('is in B for Diffusers, and a note says so', async () => {
    const file = fixture('sd', 'kohya');
    const output = path.join(temp(), 'adapter.safetensors');
    const options = { partial: false, dtype: 'bfloat16', merge: false, base: null } as const;
    const converted = await convertAdapterFile({
      ...{ adapter: file, to: 'diffusers', output },
      ...options,
      warn: () => undefined,
    });
    expect(converted).toMatchObject({
      notes: [
        'Files of Diffusers have no alpha that every program reads, so B contains the scale. The products are rounded to BF16.',
      ],
    });
  });
});

describe('a conversion', () => {
  const lost = async (shapes: Shapes, to: AdapterFormat) => {
    const output = path.join(temp(), 'adapter.safetensors');
    return convertAdapterFile({
      ...{ adapter: await fileOf(shapes), to, output, base: null, partial: false },
      ...{ dtype: 'keep', merge: false },
      warn: () => undefined,
    });
  };
  const pair = (name: string, A: readonly number[], B: readonly number[]): Shapes => ({
    [`${name}.lora_A.weight`]: A,
    [`${name}.lora_B.weight`]: B,
  });

  it('names a module of no pipeline', async () => {
    await expect(lost(pair('x.y', [2, 4], [4, 2]), 'diffusers')).resolves.toMatchObject({
      lost: [expect.stringContaining('Diffusers has no place for x.y') as string],
    });
  });

  it.each<[string, Shapes, AdapterFormat, RegExp]>([
    [
      'rows that cannot be divided',
      pair('double_blocks.0.img_attn.qkv', [2, 4], [11, 2]),
      'diffusers',
      /img_attn\.qkv is 11 x 4, which cannot be divided into transformer\.transformer_blocks\.0/,
    ],
    [
      'two updates of one module',
      {
        ...pair('double_blocks.0.img_attn.qkv', [2, 4], [12, 2]),
        ...pair('transformer.transformer_blocks.0.attn.to_q', [2, 4], [4, 2]),
      },
      'kohya',
      /two updates of transformer\.transformer_blocks\.0\.attn\.to_q/,
    ],
    [
      'the format that it has',
      pair('unet.conv_in', [2, 4], [4, 2]),
      'diffusers',
      /has this format already \(diffusers\)/,
    ],
  ])('is refused for %s', async (_, shapes, to, reason) => {
    await expect(lost(shapes, to)).rejects.toThrow(reason);
  });
});
