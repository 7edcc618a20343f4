import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { detectAdapter, readAnyAdapter } from '../../../../src/formats/adapterFormat';
import { writeKohyaAdapter } from '../../../../src/formats/kohya/write';
import { openBase } from '../../../../src/formats/openBase';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../../../src/formats/tensorWriter';
import type { Adapter } from '../../../../src/lora/adapter';
import { tensorsIn, updateOf } from '../../../support/conversions';
import { fileOf, kohya, read, throughPeft, type Shapes } from '../../../support/loraFiles';
import { temp } from '../../../support/temp';

const FILES = path.resolve(import.meta.dirname, '../../../fixtures/lora-files');
const DIFFUSERS = path.join(FILES, 'pytorch_lora_weights.safetensors');
const KOHYA = path.join(FILES, 'sdxl-kohya.safetensors');

async function asKohya(adapter: Adapter): Promise<string> {
  const file = path.join(temp(), 'out.safetensors');
  await writeKohyaAdapter(file, adapter);
  return file;
}

describe("a file of kohya's scripts", () => {
  it('has the same names and numbers after a conversion to PEFT and back', async () => {
    const copy = await asKohya(await throughPeft(await read(KOHYA)));
    expect(await tensorsIn(copy)).toEqual(await tensorsIn(KOHYA));
  });

  it.each([
    'lora_te_text_model_encoder_layers_0_self_attn_q_proj',
    'lora_te_lm_head',
    'lora_te1_text_model_encoder_layers_0_mlp_fc1',
    'lora_te2_text_projection',
    'lora_te3_encoder_block_0_layer_0_SelfAttention_q',
    'lora_unet_double_blocks_0_img_attn_proj',
    'lora_unet_joint_blocks_3_context_block_attn_qkv',
    'lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q',
    'lora_unet_middle_block_1_proj_in',
    'lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q',
    'lora_transformer_single_transformer_blocks_0_attn_to_q',
    'lora_llm_model_layers_0_self_attn_q_proj',
    'lycoris_blocks_0_attn_qkv',
    'diffusion_model.double_blocks.0.img_attn.proj',
    'model.diffusion_model.input_blocks.1.1.proj_in',
    'transformer.single_transformer_blocks.0.attn.to_q',
    'model.layers.0.self_attn.q_proj',
  ])('keeps the name %s', async (name) => {
    const file = await fileOf(kohya(name));
    const copy = await asKohya(await throughPeft(await read(file)));
    expect(await tensorsIn(copy)).toEqual(await tensorsIn(file));
  });

  it('keeps the kernel of a convolution', async () => {
    const file = await fileOf({
      ...kohya('lora_unet_input_blocks_1_0_in_layers_2', [3, 3, 3], [1, 1]),
      ...kohya('lora_unet_mid_block_attentions_0_proj_in', [3, 1, 1], [1, 1]),
    });
    const copy = await asKohya(await throughPeft(await read(file)));
    expect(await tensorsIn(copy)).toEqual(await tensorsIn(file));
  });

  it('keeps flat names beside dotted ones', async () => {
    const file = await fileOf({
      ...kohya('diffusion_model.blocks.0.qkv'),
      ...kohya('lora_te_text_model_encoder_layers_0_mlp_fc1'),
    });
    const copy = await asKohya(await throughPeft(await read(file)));
    expect(await tensorsIn(copy)).toEqual(await tensorsIn(file));
  });

  it('keeps the modules of different text encoders apart', async () => {
    const own = 'text_model_encoder_layers_0_self_attn_q_proj';
    const file = await fileOf({ ...kohya(`lora_te1_${own}`), ...kohya(`lora_te2_${own}`) });
    expect((await read(file)).modules.map((m) => m.path)).toEqual([
      `lora_te1_${own}`,
      `lora_te2_${own}`,
    ]);
  });

  it('is refused when a base has one module for two of them', async () => {
    const own = 'model_layers_0_self_attn_q_proj';
    const file = await fileOf({ ...kohya(`lora_te1_${own}`), ...kohya(`lora_te2_${own}`) });
    const base = await openBase(path.resolve(FILES, '../llama/base'));
    await expect(readAnyAdapter(file, base)).rejects.toThrow(
      /lora_te1_.* and lora_te2_.* are different modules of the file, but both are model\.layers\.0/,
    );
    await base.close();
  });

  it.each([
    ['lora_unet_x.lora_mid.weight', /core of a Tucker decomposition .* has the shape \[4\]/],
    ['lora_unet_x.dora_scale', /DoRA whose dora_scale has the shape \[4\], which is not supported/],
    ['lora_unet_x.diff', /whole differences/],
    ['unet.x.lora_B.bias', /LoRA with a bias/],
  ])('is refused for %s', async (name, reason) => {
    const file = await fileOf({ ...kohya('lora_unet_x'), [name]: [4] });
    await expect(readAnyAdapter(file, null)).rejects.toThrow(reason);
  });
});

describe('a file of Diffusers', () => {
  it('has the updates that PEFT computes, by the settings in its header', async () => {
    const { modules } = await read(DIFFUSERS);
    const expected = JSON.parse(readFileSync(path.join(FILES, 'expected.json'), 'utf8')) as Record<
      string,
      { r: number; scaling: number }
    >;
    expect(modules.map((m) => m.path).sort()).toEqual(Object.keys(expected).sort());
    const updates = await tensorsIn(path.join(FILES, 'expected.safetensors'));
    for (const m of modules) {
      expect({ r: m.r, scaling: m.scaling }).toEqual(expected[m.path]);
      const [have, want] = [updateOf(m), updates.get(m.path)!.data];
      expect(have.every((x, i) => Math.abs(x - want[i]!) < 1e-6)).toBe(true);
    }
  });

  it("has the names of Diffusers' own converter in kohya's files", async () => {
    const copy = await asKohya(await throughPeft(await read(DIFFUSERS)));
    expect(await tensorsIn(copy)).toEqual(await tensorsIn(KOHYA));
  });

  it('is found in a folder, and by its tensors under any name', async () => {
    const folder = temp();
    copyFileSync(DIFFUSERS, path.join(folder, 'pytorch_lora_weights.safetensors'));
    const found = await detectAdapter(folder);
    expect(found.format).toBe('diffusers');
    copyFileSync(DIFFUSERS, path.join(folder, 'other.safetensors'));
    expect(await detectAdapter(folder)).toEqual(found);
    expect(await detectAdapter(path.join(folder, 'other.safetensors'))).toEqual({
      format: 'diffusers',
      path: path.join(folder, 'other.safetensors'),
    });
  });

  it.each<[string, Shapes, string, string]>([
    [
      'by ai-toolkit',
      {
        'diffusion_model.blocks.0.q.lora_A.weight': [2, 3],
        'diffusion_model.blocks.0.q.lora_B.weight': [4, 2],
      },
      'diffusion_model.blocks.0.q',
      'lora_unet_blocks_0_q',
    ],
    [
      'of a transformer',
      {
        'transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight': [2, 3],
        'transformer.single_transformer_blocks.0.attn.to_q.lora_B.weight': [4, 2],
      },
      'transformer.single_transformer_blocks.0.attn.to_q',
      'lora_transformer_single_transformer_blocks_0_attn_to_q',
    ],
    [
      'with attention processors',
      {
        'unet.mid_block.attn1.processor.to_out_lora.down.weight': [2, 3],
        'unet.mid_block.attn1.processor.to_out_lora.up.weight': [4, 2],
      },
      'unet.mid_block.attn1.to_out.0',
      'lora_unet_mid_block_attn1_to_out_0',
    ],
    [
      'before PEFT',
      {
        'unet.mid_block.attn1.to_q.lora.down.weight': [2, 3],
        'unet.mid_block.attn1.to_q.lora.up.weight': [4, 2],
      },
      'unet.mid_block.attn1.to_q',
      'lora_unet_mid_block_attn1_to_q',
    ],
    [
      'of a text encoder before PEFT',
      {
        'text_encoder.text_model.layers.0.self_attn.out_proj.lora_linear_layer.down.weight': [2, 3],
        'text_encoder.text_model.layers.0.self_attn.out_proj.lora_linear_layer.up.weight': [4, 2],
      },
      'text_encoder.text_model.layers.0.self_attn.out_proj',
      'lora_te_text_model_layers_0_self_attn_out_proj',
    ],
    [
      "of a text encoder's first version",
      {
        'text_encoder.text_model.layers.0.self_attn.to_q_lora.down.weight': [2, 3],
        'text_encoder.text_model.layers.0.self_attn.to_q_lora.up.weight': [4, 2],
      },
      'text_encoder.text_model.layers.0.self_attn.q_proj',
      'lora_te_text_model_layers_0_self_attn_q_proj',
    ],
    [
      'with a dotted path and kohya factors',
      {
        'diffusion_model.a_b.c.lora_down.weight': [2, 3],
        'diffusion_model.a_b.c.lora_up.weight': [4, 2],
      },
      'diffusion_model.a_b.c',
      'diffusion_model.a_b.c',
    ],
  ])('%s is read', async (_, shapes, own, name) => {
    const { adapter, warnings } = await readAnyAdapter(await fileOf(shapes), null);
    expect(adapter.modules.map(({ path: at, r, scaling }) => [at, r, scaling])).toEqual([
      [own, 2, 1],
    ]);
    expect(warnings.map(({ message }) => message)).toEqual([
      '1 of 1 module has no alpha. It is assumed to be their rank, which makes their scale 1.',
    ]);
    expect([...(await tensorsIn(await asKohya(adapter))).keys()]).toContain(
      `${name}.lora_up.weight`,
    );
  });

  it('takes its scale from alpha, and DoRA from the magnitude vector', async () => {
    const { modules } = await read(
      await fileOf({
        'unet.x.alpha': [],
        'unet.x.lora_A.weight': [2, 3],
        'unet.x.lora_B.weight': [4, 2],
        'unet.x.lora_magnitude_vector': [4],
      }),
    );
    expect(modules[0]!.scaling).toBe(1 / 8 / 2);
    expect(modules[0]!.magnitude).toHaveLength(4);
  });

  const pair = { 'unet.x.lora_A.weight': [2, 3], 'unet.x.lora_B.weight': [4, 2] };
  it.each<[string, Shapes, object | string, RegExp]>([
    ['settings that are no JSON', pair, '{', /it is not JSON/],
    ['settings that are a list', pair, '[]', /not a JSON object/],
    [
      'a rank that is no number',
      pair,
      { 'unet.r': 'x', 'unet.lora_alpha': 2 },
      /unet\.r must be a number/,
    ],
    ['another rank', pair, { 'unet.r': 3, 'unet.lora_alpha': 2 }, /has rank 2, but .* says r = 3/],
    [
      'another alpha',
      { ...pair, 'unet.x.alpha': [] },
      { r: 2, lora_alpha: 2 },
      /by its alpha, but 1 by the settings/,
    ],
    [
      'an alpha of two numbers',
      { ...pair, 'unet.x.alpha': [2] },
      {},
      /alpha must be one number, but there are 2/,
    ],
    [
      'a factor alone',
      { 'unet.x.lora_A.weight': [2, 3] },
      {},
      /Its partner is missing: unet\.x needs both/,
    ],
    [
      'ranks that differ',
      { ...pair, 'unet.x.lora_B.weight': [4, 3] },
      {},
      /ranks of A and B differ/,
    ],
    [
      'two spellings',
      { ...pair, 'unet.x.lora.down.weight': [2, 3] },
      {},
      /are the same tensor of unet\.x/,
    ],
    [
      'a magnitude of another size',
      { ...pair, 'unet.x.lora_magnitude_vector': [3] },
      {},
      /must have 4 elements/,
    ],
  ])('is refused for %s', async (_, shapes, settings, reason) => {
    const text = typeof settings === 'string' ? settings : JSON.stringify(settings);
    const file = await fileOf(shapes, { lora_adapter_metadata: text });
    await expect(readAnyAdapter(file, null)).rejects.toMatchObject({
      name: 'LoraError',
      message: expect.stringMatching(reason) as string,
    });
  });
});

describe('the alpha of a module', () => {
  const NAME = 'lora_te_a';
  const withAlpha = async (alpha: TensorToWrite) => {
    const file = path.join(temp(), 'lora.safetensors');
    const tensor = (name: string, shape: readonly number[]): TensorToWrite => {
      const data = new Float32Array(shape[0]! * shape[1]!).fill(1);
      return { name: `${NAME}.${name}.weight`, dtype: 'F32', shape, data };
    };
    await writeSafetensors(file, [alpha, tensor('lora_down', [2, 3]), tensor('lora_up', [4, 2])]);
    return read(file);
  };

  it.each<[TensorToWrite['dtype'], readonly number[], Uint8Array]>([
    ['F32', [], new Uint8Array(Float32Array.of(6).buffer)],
    ['F32', [1], new Uint8Array(Float32Array.of(6).buffer)],
    ['BF16', [], new Uint8Array(Uint16Array.of(0x40c0).buffer)],
    ['F64', [1, 1], new Uint8Array(Float64Array.of(6).buffer)],
    ['I64', [], new Uint8Array(BigInt64Array.of(6n).buffer)],
    ['I32', [1], new Uint8Array(Int32Array.of(6).buffer)],
  ])('may be of the type %s and the shape %j', async (dtype, shape, data) => {
    const { modules } = await withAlpha({ name: `${NAME}.alpha`, dtype, shape, data });
    expect(modules[0]!.scaling).toBe(3);
  });

  it('must be a number', async () => {
    const alpha = {
      name: `${NAME}.alpha`,
      dtype: 'BOOL',
      shape: [],
      data: Uint8Array.of(1),
    } as const;
    await expect(withAlpha(alpha)).rejects.toThrow(/BOOL/);
  });
});

describe('tensors of several adapters in one file', () => {
  it.each<[string, Shapes]>([
    ['in one module', { 'm.q.lora_A.a.weight': [2, 3], 'm.q.lora_B.b.weight': [4, 2] }],
    [
      'in different modules',
      {
        'm.q.lora_A.a.weight': [2, 3],
        'm.q.lora_B.a.weight': [4, 2],
        'm.k.lora_A.b.weight': [2, 3],
        'm.k.lora_B.b.weight': [4, 2],
      },
    ],
    ['of which one has no name', { 'm.q.lora_A.weight': [2, 3], 'm.q.lora_B.b.weight': [4, 2] }],
  ])('are refused %s', async (_, shapes) => {
    const several = /tensors of several adapters: "[ab]?" and "[ab]"/;
    await expect(read(await fileOf(shapes))).rejects.toThrow(several);
    const folder = temp();
    copyFileSync(await fileOf(shapes), path.join(folder, 'adapter_model.safetensors'));
    const config = { peft_type: 'LORA', r: 2, lora_alpha: 2, target_modules: ['q', 'k'] };
    writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify(config));
    await expect(read(folder)).rejects.toThrow(several);
  });
});

describe('a tensor that changes what an adapter computes', () => {
  it.each([
    'lora_embedding_A',
    'lora_embedding_B.default',
    'modules_to_save.weight',
    'lora_E',
    'lora_C.weight',
    'ia3_l',
    'vera_lambda_b',
    'trainable_tokens_delta',
  ])('is refused: %s', async (name) => {
    const pair = { 'm.q.lora_A.weight': [2, 3], 'm.q.lora_B.weight': [4, 2] };
    await expect(read(await fileOf({ ...pair, [`m.x.${name}`]: [2] }))).rejects.toThrow(
      /which is not supported/,
    );
  });
});

describe("kohya's names", () => {
  it('are refused when two modules have the same', async () => {
    const { modules, ...adapter } = await read(
      await fileOf({
        'unet.a_b.lora_A.weight': [2, 3],
        'unet.a_b.lora_B.weight': [4, 2],
        'unet.a.b.lora_A.weight': [2, 3],
        'unet.a.b.lora_B.weight': [4, 2],
      }),
    );
    await expect(asKohya({ ...adapter, modules })).rejects.toThrow(
      /unet\.a(?:_|\.)b and unet\.a(?:_|\.)b have the same name in kohya's files: lora_unet_a_b/,
    );
  });
});

describe('weights in a pickle', () => {
  it('are not read', async () => {
    const folder = temp();
    copyFileSync(DIFFUSERS, path.join(folder, 'pytorch_lora_weights.bin'));
    for (const place of [folder, path.join(folder, 'pytorch_lora_weights.bin')])
      await expect(detectAdapter(place)).rejects.toThrow(/pickle, which is not read/);
  });
});
