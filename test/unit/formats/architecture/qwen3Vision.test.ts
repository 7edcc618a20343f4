import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { modulesOf } from '../../../../src/formats/architecture/modules';
import { readSpec } from '../../../../src/formats/architecture/readSpec';
import { modelSize } from '../../../../src/formats/architecture/size';
import { UNRECORDED_STEP_PLAN } from '../../../../src/shared/run';
import { estimateMemory } from '../../../../src/lora/memory';

const config = JSON.parse(
  readFileSync(
    path.resolve(import.meta.dirname, '../../../fixtures/qwen3-vl-images/base/config.json'),
    'utf8',
  ),
) as Record<string, Record<string, unknown>>;
const withVision = (own: object) => ({
  ...config,
  vision_config: { ...config['vision_config'], ...own },
});

describe("Qwen3-VL's tower for images", () => {
  it('is read from the config', () => {
    const { vision } = readSpec(config, 'config.json');
    expect(vision).toMatchObject({ image_token: 386, patch: 4, frames: 2, merge: 2 });
    expect(vision?.deepstack.map(({ block }) => block)).toEqual([0, 2]);
    expect(vision?.patches).toMatchObject({ in_features: 96, out_features: 16 });
  });

  it.each([
    [{ num_heads: 3 }, 'num_heads'],
    [{ deepstack_visual_indexes: [0, 3] }, 'deepstack_visual_indexes'],
    [{ deepstack_visual_indexes: [2, 0] }, 'deepstack_visual_indexes'],
    [{ num_position_embeddings: 24 }, 'num_position_embeddings'],
    [{ depth: 1e9 }, 'depth'],
    [{ patch_size: [4, 4] }, 'patch_size'],
    [{ hidden_act: 'mish' }, 'hidden_act'],
  ])('names what is wrong in %j', (own, key) => {
    expect(() => readSpec(withVision(own), 'config.json')).toThrow(`"${key}"`);
  });

  it.each([[[4, 2]], [['a', 2, 2]], [[-1, 2, 2]]])('names wrong sections: %j', (mrope_section) => {
    const text_config = { ...config['text_config'], rope_parameters: { mrope_section } };
    expect(() => readSpec({ ...config, text_config }, 'config.json')).toThrow('"mrope_section"');
  });

  it('is not there without a config of it, or in a text model', () => {
    expect(readSpec({ ...config, vision_config: undefined }, 'config.json').vision).toBeUndefined();
    expect(readSpec(config['text_config']!, 'config.json').vision).toBeUndefined();
  });

  it('takes memory for a pass, and for the vectors and pictures that are kept', () => {
    const spec = readSpec(config, 'config.json');
    const size = modelSize({ spec, parameters: 71_832 });
    // of the fixture: all tensors below model.visual
    expect(size.vision?.size.parameters).toBe(26_840);
    const estimate = (images?: { largest: number; tokens: number }) =>
      estimateMemory(size, { modules: [], ranks: () => 8 }, { rows: 1, length: 64, images });
    const [without, few, many, large] = [
      estimate(),
      estimate({ largest: 16, tokens: 100 }),
      estimate({ largest: 16, tokens: 1e9 }),
      estimate({ largest: 16_384, tokens: 100 }),
    ];
    expect(few.total - without.total).toBe(4 * 100 * 3 * 32 + 3 * 100 * 4 * 4 ** 2);
    expect(many.total - without.total).toBe((256 + 128) * 2 ** 20);
    expect(large.working).toBeGreaterThan(few.working + 16_384 * 16 * 4);
  });

  it('takes memory for what its backward pass needs where it is adapted', () => {
    const spec = readSpec(config, 'config.json');
    const size = modelSize({ spec, parameters: 71_832 });
    const all = modulesOf(spec).filter((m) => m.kind === 'linear' && !m.is_output);
    const estimate = (modules: typeof all, recomputed_layers: number, tokens = 60) =>
      estimateMemory(
        size,
        { modules, ranks: () => 2 },
        { rows: 2, length: 64, images: { largest: 16, tokens } },
        { ...UNRECORDED_STEP_PLAN, recomputed_layers },
      );
    const text = all.filter((m) => !m.path.startsWith('model.visual.'));
    const [plain, adapted, one] = [estimate(text, 0), estimate(all, 0), estimate(all, 0, 4)];
    const ofImages = adapted.activations - plain.activations;
    // 60 tokens are 240 patches, 15 of the largest images
    expect(ofImages).toBeCloseTo(15 * (one.activations - plain.activations), 6);
    expect(ofImages).toBeGreaterThan(240 * 3 * 4 * (2 * 16 + 4 * 16 + 24));
    expect(estimate(all, 0, 1e9).activations - plain.activations).toBeCloseTo(
      (128 / 60) * ofImages,
      6,
    );
    expect(adapted.adapter).toBeGreaterThan(plain.adapter);
  });
});
