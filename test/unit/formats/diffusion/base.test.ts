import { cpSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { inspectPipeline } from '../../../../src/engine/commands/inspectPipeline';
import { isPipelineBase, openPipelineBase } from '../../../../src/formats/diffusion/base';
import { fileOf } from '../../../support/loraFiles';
import { PIPELINES } from '../../../support/pipelines';
import { temp } from '../../../support/temp';

const UNET = 'unet/diffusion_pytorch_model.safetensors';

function copyOf(model: string): string {
  const folder = path.join(temp(), 'model');
  cpSync(path.join(PIPELINES, model, 'diffusers'), folder, { recursive: true });
  return folder;
}

describe('an image model', () => {
  it.each([
    ['sd', 'sd'],
    ['sdxl', 'sdxl'],
    ['flux', 'flux'],
  ])('is known by its tensors: %s', async (model, kind) => {
    for (const form of ['model.safetensors', 'diffusers']) {
      const place = path.join(PIPELINES, model, form);
      expect(await isPipelineBase(place)).toBe(true);
      const { facts } = await inspectPipeline(place);
      expect(facts).toMatchObject({ type: 'image_model', kind });
    }
  });

  it('may have a variant as its only weights', async () => {
    const folder = copyOf('sd');
    renameSync(path.join(folder, UNET), path.join(folder, UNET.replace('.safe', '.fp16.safe')));
    const base = await openPipelineBase(folder);
    expect(base.files.map(({ file }) => path.basename(file))).toContain(
      'diffusion_pytorch_model.fp16.safetensors',
    );
    await base.close();
  });

  it.each<[string, (folder: string) => void, RegExp]>([
    [
      'of another class',
      (folder) => {
        const index = { _class_name: 'WuerstchenPipeline', prior: ['diffusers', 'Prior'] };
        writeFileSync(path.join(folder, 'model_index.json'), JSON.stringify(index));
      },
      /WuerstchenPipeline has neither a UNet nor a transformer/,
    ],
    [
      'without weights',
      (folder) => rmSync(path.join(folder, UNET)),
      /has no diffusion_pytorch_model\.safetensors\./,
    ],
    [
      'with a pickle alone',
      (folder) =>
        renameSync(
          path.join(folder, UNET),
          path.join(folder, UNET.replace('.safetensors', '.bin')),
        ),
      /only diffusion_pytorch_model\.bin, which is not read because it can run code/,
    ],
    [
      'that is damaged',
      (folder) => writeFileSync(path.join(folder, UNET), 'x'),
      /damaged|not a safetensors|header|too short/i,
    ],
  ])('is refused %s', async (_, change, reason) => {
    const folder = copyOf('sd');
    change(folder);
    await expect(openPipelineBase(folder)).rejects.toThrow(reason);
  });

  it('is no adapter, no other model, and nothing that cannot be read', async () => {
    const others = [
      path.join(PIPELINES, 'sd', 'kohya.safetensors'),
      await fileOf({ 'model.layers.0.self_attn.q_proj.weight': [4, 4] }),
      '/w/nothing',
      temp(),
    ];
    for (const place of others) expect(await isPipelineBase(place)).toBe(false);
  });
});
