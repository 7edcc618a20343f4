import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { pipelineModule } from '../../../../src/formats/diffusion/names';
import { flat } from '../../../../src/formats/kohya/names';

const FILE = path.resolve(import.meta.dirname, '../../../fixtures/diffusion/names.json.gz');
/** Diffusers' modules by those of the original checkpoints, in the order of their rows. */
type Names = Readonly<Record<string, readonly string[]>>;
const NAMES = JSON.parse(gunzipSync(readFileSync(FILE)).toString()) as Readonly<
  Record<'sd' | 'sdxl' | 'flux' | 'open_clip', Names>
>;

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
