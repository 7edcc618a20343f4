import { cpSync, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeModel, type MergeOptions } from '../../../src/engine/merge/mergeModel';
import { holdsNan } from '../../../src/engine/merge/holdsNan';
import { toBF16, toF16 } from '../../../src/formats/floats';
import { withSafetensors } from '../../../src/formats/safetensors/read';
import { writeSafetensors } from '../../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../../src/formats/tensorWriter';
import { fixtures } from '../../support/models';
import { temp } from '../../support/temp';

const Q = 'model.layers.0.self_attn.q_proj.weight';
const adapter = path.join(fixtures, 'llama/lora-qv/adapter');

/** The tiny llama with one number of a tensor replaced, stored in f16, bf16 or f32. */
async function baseWith(tensor: string, value: number, dtype: 'F16' | 'BF16' | 'F32') {
  const folder = path.join(temp(), 'base');
  cpSync(path.join(fixtures, 'llama/base'), folder, { recursive: true });
  const file = path.join(folder, 'model.safetensors');
  const tensors = await withSafetensors(file, async (source) => {
    const all: TensorToWrite[] = [];
    for (const { name, shape } of source.tensors.values()) {
      const data = await source.readF32(name);
      if (name === tensor) data[0] = value;
      const narrow = { F16: toF16, BF16: toBF16, F32: (x: Float32Array) => x }[dtype];
      all.push({ name, shape, dtype, data: narrow(data) });
    }
    return all;
  });
  await writeSafetensors(file, tensors);
  return folder;
}

async function mergeRefused(
  base: string,
  change: Partial<MergeOptions>,
  expected: object,
): Promise<void> {
  const output = path.join(temp(), 'merged');
  await expect(
    mergeModel({
      base,
      adapters: [adapter],
      output,
      scale: 1,
      dtype: 'keep',
      max_shard_size: null,
      ops: null,
      signal: new AbortController().signal,
      warn: () => undefined,
      onProgress: () => undefined,
      ...change,
    }),
  ).rejects.toMatchObject(expected);
  expect(existsSync(output)).toBe(false);
  expect(readdirSync(path.dirname(output))).toEqual([]);
}

describe('a merge writes no number that is not finite', () => {
  it('refuses an update that leaves the range of f16, by tensor', async () => {
    const base = await baseWith(Q, 65_000, 'F16');
    await mergeRefused(
      base,
      { scale: 1e6 },
      {
        area: 'adapter',
        message: expect.stringMatching(/which F16 cannot store/) as string,
        place: { tensor: Q },
      },
    );
  });

  it('refuses a conversion that leaves the range of f16, by tensor', async () => {
    const norm = 'model.norm.weight';
    const base = await baseWith(norm, 70_000, 'F32');
    await mergeRefused(
      base,
      { dtype: 'float16' },
      {
        message: 'The result holds 70000, which F16 cannot store.',
        place: { tensor: norm, file: base },
      },
    );
  });

  it('refuses an update that float32 cannot hold', async () => {
    const base = await baseWith(Q, -3.4e38, 'F32');
    await mergeRefused(
      base,
      { scale: 1e38 },
      {
        area: 'adapter',
        message: expect.stringMatching(/would hold -Infinity: the update is too large/) as string,
        place: { tensor: Q },
      },
    );
    await mergeRefused(
      path.join(fixtures, 'llama/base'),
      { scale: 1e300 },
      { area: 'usage', message: expect.stringMatching(/which float32 cannot hold/) as string },
    );
  });

  it.each(['F16', 'BF16', 'F32'] as const)('refuses NaN in a base of %s', async (dtype) => {
    for (const tensor of [Q, 'model.norm.weight', 'model.embed_tokens.weight']) {
      const base = await baseWith(tensor, NaN, dtype);
      await mergeRefused(
        base,
        {},
        { area: 'base', message: 'The tensor of the base holds NaN.', place: { tensor } },
      );
    }
  });

  it('refuses infinity in a tensor that it changes', async () => {
    const base = await baseWith(Q, Infinity, 'BF16');
    await mergeRefused(
      base,
      {},
      { message: 'The tensor of the base holds Infinity.', place: { tensor: Q } },
    );
  });
});

describe('NaN in stored numbers', () => {
  it('is found in every dtype, and infinity is none', () => {
    const has = (values: number[], dtype: 'F16' | 'BF16' | 'F32') => {
      const floats = Float32Array.from(values);
      const stored = { F16: toF16(floats), BF16: toBF16(floats), F32: floats }[dtype];
      return holdsNan(new Uint8Array(stored.buffer), dtype);
    };
    for (const dtype of ['F16', 'BF16', 'F32'] as const) {
      expect(has([1, NaN], dtype), dtype).toBe(true);
      expect(has([1, -Infinity, Infinity, 0], dtype), dtype).toBe(false);
    }
    expect(holdsNan(new Uint8Array(Float64Array.of(NaN).buffer), 'F64')).toBe(true);
    expect(holdsNan(new Uint8Array([255, 255]), 'I8')).toBe(false);
  });
});
