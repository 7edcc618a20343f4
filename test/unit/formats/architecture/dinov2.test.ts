import { cpSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { modulesOf } from '../../../../src/formats/architecture/modules';
import { readSpec } from '../../../../src/formats/architecture/readSpec';
import { openBase, targetableModules } from '../../../../src/formats/openBase';
import { withSafetensors } from '../../../../src/formats/safetensors/read';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../../../src/formats/tensorWriter';
import { fixtures, readFloats, readJson } from '../../../support/models';
import { temp } from '../../../support/temp';

const config = readJson('dinov2-swiglu/base/config.json') as Record<string, unknown>;
const specOf = (change: object) => readSpec({ ...config, ...change }, 'config.json');

describe('the config of DINOv2', () => {
  it('gives the width of its MLPs by a ratio, of which SwiGLU keeps two thirds', () => {
    const widthOf = (change: object) =>
      modulesOf(specOf(change)).find(({ path }) => /(?:down_proj|fc2)$/.test(path))!.in_features;
    expect(widthOf({})).toBe(48);
    expect(widthOf({ hidden_size: 1536, num_attention_heads: 24, mlp_ratio: 4 })).toBe(4096);
    expect(widthOf({ use_swiglu_ffn: false })).toBe(64);
  });

  it.each([
    [{ image_size: [16, 20] }, 'image_size', 'must be square'],
    [{ image_size: 18 }, 'image_size', '18 is not divisible by patch_size = 4'],
    [{ patch_size: [4, 2] }, 'image_size', 'must be square'],
    [{ mlp_ratio: 0 }, 'mlp_ratio', 'mlp_ratio'],
    [{ use_swiglu_ffn: false, hidden_act: 'snake' }, 'hidden_act', 'snake'],
  ])('is refused by name with %o', (change, key, words) => {
    expect(() => specOf(change)).toThrow(
      expect.objectContaining({
        message: expect.stringContaining(words) as string,
        place: { file: 'config.json', key },
      }) as Error,
    );
  });
});

const folder = path.join(fixtures, 'dinov2-swiglu/base');
const FILE = 'model.safetensors';
const MLP = 'dinov2.encoder.layer.0.mlp';

/** A copy of the model with other tensors. */
async function copyWith(
  change: (tensors: readonly TensorToWrite[]) => readonly TensorToWrite[],
): Promise<string> {
  const copy = path.join(temp(), 'base');
  cpSync(folder, copy, { recursive: true });
  const own = await withSafetensors(path.join(folder, FILE), (source) =>
    Promise.all(
      [...source.tensors.values()].map(async ({ name, shape }) => ({
        name,
        dtype: 'F32' as const,
        shape,
        data: await source.readF32(name),
      })),
    ),
  );
  await writeSafetensors(path.join(copy, FILE), change(own));
  return copy;
}

/** Gate and up as current transformers names them. */
const split = (tensors: readonly TensorToWrite[]): TensorToWrite[] =>
  tensors.flatMap((tensor) => {
    const [rows = 0, ...rest] = tensor.shape;
    if (!tensor.name.includes('.weights_in.')) return [tensor];
    const data = tensor.data as Float32Array;
    return ['gate_proj', 'up_proj'].map((name, i) => ({
      ...tensor,
      name: tensor.name.replace('weights_in', name),
      shape: [rows / 2, ...rest],
      data: data.subarray((i * data.length) / 2, ((i + 1) * data.length) / 2),
    }));
  });

describe('the weights of DINOv2', () => {
  it('have gate and up as modules of their own, whether one tensor or two', async () => {
    const want = (await readFloats(`dinov2-swiglu/base/${FILE}`)).get(`${MLP}.weights_in.weight`)!;
    for (const place of [folder, await copyWith(split)]) {
      const base = await openBase(place);
      const paths = targetableModules(base).map((m) => m.path);
      expect(paths).toContain(`${MLP}.gate_proj`);
      expect(paths).not.toContain(`${MLP}.weights_in`);
      const [gate, up] = [`${MLP}.gate_proj.weight`, `${MLP}.up_proj.weight`];
      expect([
        ...(await base.weights.readF32(gate)),
        ...(await base.weights.readF32(up, new Float32Array(want.length / 2))),
      ]).toEqual([...want]);
      expect(await base.weights.readBF16(gate)).toHaveLength(want.length / 2);
      await base.close();
    }
  });

  it('are refused by name where they are there twice, missing, or of another size', async () => {
    const twice = await copyWith((own) => [
      ...split(own),
      ...own.filter(({ name }) => name.includes('weights_in')),
    ]);
    await expect(openBase(twice)).rejects.toThrow('4 tensors that the config does not describe');
    const missing = await copyWith((own) => own.filter(({ name }) => !name.includes('weights_in')));
    await expect(openBase(missing)).rejects.toMatchObject({
      problems: expect.arrayContaining([
        expect.objectContaining({ place: { file: missing, tensor: `${MLP}.gate_proj.weight` } }),
      ]) as unknown,
    });
    const odd = await copyWith((own) =>
      own.map((tensor) =>
        tensor.name === `${MLP}.weights_in.bias`
          ? { ...tensor, shape: [95], data: new Float32Array(95) }
          : tensor,
      ),
    );
    await expect(openBase(odd)).rejects.toThrow('2 of');
  });
});
