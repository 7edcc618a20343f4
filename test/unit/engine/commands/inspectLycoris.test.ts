import { expect, it } from 'vitest';
import { inspectAdapter } from '../../../../src/engine/commands/inspectAdapter';
import { imageAdapter } from '../../../support/imageAdapters';

it('an adapter that can only be merged is described by its modules', async () => {
  const { facts, lines } = await inspectAdapter(imageAdapter('sd-lokr-dense'));
  expect(lines).toEqual([
    expect.stringMatching(
      /^LyCORIS adapter of Stable Diffusion 1 \(kohya\): 8 modules \(.*to_q.*\), 8 of LoKr$/,
    ),
    expect.stringMatching(
      /^LoRA holds 8 of them at a rank above the full one only: .* can be merged/,
    ),
  ]);
  expect(facts).toMatchObject({ type: 'lycoris', pipeline: 'sd', format: 'kohya' });
  expect(facts['modules']).toContainEqual({
    path: 'lora_unet_down_blocks_0_resnets_0_conv1',
    ...{ method: 'LoKr', out_features: 8, in_features: 72 },
  });
});

it.each(['sd-lora', 'sd-loha', 'sd-lokr', 'flux-xlabs'])(
  'is not one that can be LoRA: %s',
  async (name) => {
    const { facts } = await inspectAdapter(imageAdapter(name));
    expect(facts).toMatchObject({ type: 'adapter' });
  },
);
