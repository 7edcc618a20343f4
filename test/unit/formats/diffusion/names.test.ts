import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { pipelineModule } from '../../../../src/formats/diffusion/names';
import { unetKindOf, withUNetNames } from '../../../../src/formats/diffusion/unetSpelling';
import { flat } from '../../../../src/formats/kohya/names';
import { peftAdapter } from '../../../../src/formats/importedAdapter';

const FILE = path.resolve(import.meta.dirname, '../../../fixtures/diffusion/names.json.gz');
/** Diffusers' modules by those of the original checkpoints, in the order of their rows. */
type Names = Readonly<Record<string, readonly string[]>>;
const NAMES = JSON.parse(gunzipSync(readFileSync(FILE)).toString()) as Readonly<
  Record<'sd' | 'sdxl' | 'flux' | 'open_clip', Names>
>;

/** An adapter of one module. */
const adapterOf = (path: string) =>
  peftAdapter(
    [
      {
        ...{ path, kind: 'linear', r: 1, scaling: 1, in_features: 2, out_features: 2 },
        ...{ A: new Float32Array(2), B: new Float32Array(2), magnitude: null },
      },
    ],
    null,
  );

describe.each(Object.entries(NAMES))('the modules of %s', (_, names) => {
  it("are those of Diffusers' own conversion", () => {
    const found = Object.keys(names).map((name) => [name, pipelineModule(name)?.paths]);
    expect(Object.fromEntries(found)).toEqual(names);
  });

  it('are known by their names in Diffusers', () => {
    for (const name of Object.values(names).flat())
      expect(pipelineModule(name)).toEqual({ paths: [name], rows: 'same' });
  });

  it("are known by kohya's names of both", () => {
    for (const [name, paths] of Object.entries(names)) {
      const image = /^model\.diffusion_model\.(.*)/.exec(name)?.[1];
      if (image !== undefined)
        expect(pipelineModule(`lora_unet_${flat(image)}`)?.paths).toEqual(paths);
      for (const own of paths) {
        const prefix = own.startsWith('text_encoder_2.') ? 'lora_te2_' : 'lora_unet_';
        const kohya = prefix + flat(own.slice(own.indexOf('.') + 1));
        expect(pipelineModule(kohya)?.paths).toEqual([own]);
      }
    }
  });
});

it("of SDXL's UNet, kohya's scripts write the original names", () => {
  const unet = Object.entries(NAMES.sdxl).filter(([name]) => name.startsWith('model.'));
  expect(unet.length).toBeGreaterThan(700);
  for (const [name, [path]] of unet) {
    const adapter = adapterOf(path!);
    const { modules } = withUNetNames(adapter, 'file', { tool: 'kohya', kind: 'sdxl' });
    const own = name.replace('model.diffusion_model.', '');
    expect(modules.map((m) => m.path)).toEqual([`lora_unet_${flat(own)}`]);
    const sd = withUNetNames(adapter, 'file', { tool: 'kohya', kind: 'sd' }).modules;
    expect(sd.map((m) => m.path)).toEqual([`lora_unet_${flat(path!.replace('unet.', ''))}`]);
  }
});

it.each([
  ['unet.down_blocks.1.attentions.0.proj_in', 4, null],
  ['unet.down_blocks.0.attentions.0.proj_in', 4, 'sd'],
  ['unet.up_blocks.3.resnets.0.conv1', 4, 'sd'],
  ['unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k', 768, 'sd'],
  ['unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k', 2048, 'sdxl'],
  ['unet.down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_k', 4, 'sdxl'],
  ['transformer.proj_out', 4, null],
  ['of.no.pipeline', 4, null],
])('%s with %d inputs is of %s', (path, in_features, kind) => {
  expect(unetKindOf([{ path, in_features }])).toBe(kind);
});

describe('the name of a module', () => {
  it.each([
    ['model.layers.0.self_attn.q_proj'],
    ['transformer.h.0.attn.c_attn'],
    ['lora_unet_x'],
    ['unet.mid_block.attn1.to_q'],
    ['lora_te_model_layers_0_self_attn_q_proj'],
    ['diffusion_model.blocks.0.self_attn.q'],
  ])('%s is of no known pipeline', (name) => {
    expect(pipelineModule(name)).toBeNull();
  });

  it.each([
    ['lora_te_text_model_encoder_layers_0_self_attn_q_proj', 'text_encoder.text_model'],
    ['lora_te1_text_model_encoder_layers_0_self_attn_q_proj', 'text_encoder.text_model'],
    ['text_model.encoder.layers.0.self_attn.q_proj', 'text_encoder.text_model'],
    ['text_encoder_2.encoder.layers.0.self_attn.q_proj', 'text_encoder_2.text_model'],
    ['cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj', 'text_encoder.'],
    ['lora_te3_encoder_block_0_layer_0_SelfAttention_q', 'text_encoder_2.encoder.block.0.layer.0.'],
  ])('%s is of its text encoder', (name, start) => {
    expect(pipelineModule(name)?.paths[0]?.startsWith(start)).toBe(true);
  });

  it('says where the halves of rows are exchanged', () => {
    expect(pipelineModule('lora_unet_final_layer_adaLN_modulation_1')).toEqual({
      paths: ['transformer.norm_out.linear'],
      rows: 'swapped',
    });
  });
});
