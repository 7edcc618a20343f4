import { describe, expect, it } from 'vitest';
import { alignNames } from '../../../src/formats/alignNames';
import { peftAdapter } from '../../../src/formats/importedAdapter';
import type { Adapter, LoraFactors } from '../../../src/lora/adapter';

const module = (path: string): LoraFactors => ({
  path,
  kind: 'linear',
  r: 1,
  in_features: 1,
  out_features: 1,
  scaling: 1,
  A: Float32Array.of(1),
  B: Float32Array.of(1),
  magnitude: null,
});
const adapterOf = (...paths: string[]): Adapter => peftAdapter(paths.map(module), null);
const aligned = (...adapters: Adapter[]) =>
  alignNames(
    adapters,
    adapters.map((_, n) => `adapter-${n}`),
  ).map(({ modules }) => modules.map((m) => m.path));

describe('adapters of one base', () => {
  it.each([
    'model.layers.',
    'language_model.model.layers.',
    'model.language_model.layers.',
    'model.text_model.layers.',
    'base_model.model.model.layers.',
    'module.model.layers.',
    'layers.',
  ])('have the names of the first, whose layers are %s0', (body) => {
    const first = [`${body}0.q_proj`, 'lm_head'];
    const own = first.map((path) => path.replace(/^(?:base_model\.model\.|module\.)/, ''));
    for (const other of ['model.layers.', 'model.language_model.layers.', '_orig_mod.layers.'])
      expect(
        aligned(
          adapterOf(...first),
          adapterOf(`${other}1.q_proj`, `${other}0.q_proj`, 'lm_head'),
        )[1],
      ).toEqual([own[0]!.replace('0.q', '1.q'), ...own]);
  });

  it('have the same names in all formats', () => {
    expect(
      aligned(
        adapterOf('unet.conv_in', 'text_encoder.text_model.fc1', 'text_encoder_2.text_model.fc1'),
        adapterOf('lora_te1_text_model_fc1', 'lora_te2_text_model_fc1', 'lora_unet_conv_in'),
        adapterOf('diffusion_model.conv_in', 'lora_unet_conv_out'),
      ).slice(1),
    ).toEqual([
      ['text_encoder.text_model.fc1', 'text_encoder_2.text_model.fc1', 'unet.conv_in'],
      ['unet.conv_in', 'lora_unet_conv_out'],
    ]);
    expect(
      aligned(adapterOf('model.layers.0.q_proj'), adapterOf('lora_llm_model_layers_0_q_proj'))[1],
    ).toEqual(['model.layers.0.q_proj']);
  });

  it('keep the names of modules of other towers', () => {
    const other = adapterOf(
      'model.language_model.layers.0.q',
      'model.vision_tower.layers.0.q',
      'score',
    );
    expect(aligned(adapterOf('model.layers.0.q'), other)[1]).toEqual([
      'model.layers.0.q',
      'model.vision_tower.layers.0.q',
      'score',
    ]);
  });

  it('are refused when two modules of one are a module of another', () => {
    const [one, two] = [adapterOf('text_encoder.fc1'), adapterOf('lora_te_fc1', 'lora_te1_fc1')];
    expect(() => aligned(one, two)).toThrow(
      'lora_te_fc1 and lora_te1_fc1 are both text_encoder.fc1 in the others.',
    );
    expect(() => aligned(two, one)).toThrow('two modules that can be text_encoder.fc1');
    expect(aligned(two, two)[1]).toEqual(['lora_te_fc1', 'lora_te1_fc1']);
  });
});
