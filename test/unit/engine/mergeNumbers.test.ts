import { cpSync, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { mergeModel, type MergeOptions } from '../../../src/engine/merge/mergeModel';
import { firstNotFinite } from '../../../src/engine/merge/storedNumbers';
import { toBF16, toF16 } from '../../../src/formats/floats';
import { DEQUANTISED } from '../../../src/formats/gguf/dequantise';
import { GGUF_TYPES } from '../../../src/formats/gguf/header';
import type { DType } from '../../../src/formats/tensorInfo';
import { withSafetensors } from '../../../src/formats/safetensors/read';
import { writeSafetensors } from '../../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../../src/formats/tensorWriter';
import { fixtures } from '../../support/models';
import { PLAIN_MERGE } from '../../support/mergeOptions';
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

const OPTIONS = { ...PLAIN_MERGE, adapters: [adapter] };

async function mergeRefused(
  base: string,
  change: Partial<MergeOptions>,
  expected: object,
): Promise<void> {
  const output = path.join(temp(), 'merged');
  await expect(mergeModel({ ...OPTIONS, base, output, ...change })).rejects.toMatchObject(expected);
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

  it.each(['F16', 'BF16', 'F32'] as const)(
    'refuses NaN and infinity in a base of %s, whether the tensor is changed or copied',
    async (dtype) => {
      for (const tensor of [Q, 'model.norm.weight', 'model.embed_tokens.weight']) {
        for (const value of [NaN, Infinity, -Infinity]) {
          const base = await baseWith(tensor, value, dtype);
          await mergeRefused(
            base,
            {},
            {
              area: 'base',
              message: `The tensor of the base holds ${value}.`,
              place: { tensor, file: base },
            },
          );
        }
      }
    },
  );
});

it('a merge keeps infinities in tensors that the model does not use', async () => {
  const base = await baseWith('', 0, 'F16');
  const file = path.join(base, 'model.safetensors');
  const mask = 'model.layers.0.self_attn.masked_bias';
  const bits = Uint16Array.of(0xfc00, 0);
  await withSafetensors(file, async (source) => {
    const all: TensorToWrite[] = [{ name: mask, dtype: 'F16', shape: [2], data: bits }];
    for (const { name, shape, dtype } of source.tensors.values())
      all.push({ name, shape, dtype, data: toF16(await source.readF32(name)) });
    return all;
  }).then((all) => writeSafetensors(file, all));
  for (const dtype of ['keep', 'float32'] as const) {
    const output = path.join(temp(), 'merged');
    await mergeModel({ ...OPTIONS, base, output, dtype });
    const [first] = await withSafetensors(path.join(output, 'model.safetensors'), (source) =>
      source.readF32(mask),
    );
    expect(first).toBe(-Infinity);
  }
});

describe('stored numbers that are not finite', () => {
  it.each(['F16', 'BF16', 'F32', 'F64'] as const)('are found in %s', (dtype) => {
    const first = (values: number[]) => {
      const floats = Float32Array.from(values);
      const stored = {
        F16: toF16(floats),
        BF16: toBF16(floats),
        F32: floats,
        F64: Float64Array.from(values),
      }[dtype];
      return firstNotFinite(new Uint8Array(stored.buffer), dtype);
    };
    expect(first([1, NaN])).toBeNaN();
    expect(first([1, -Infinity, Infinity])).toBe(-Infinity);
    expect(first([1, -0, 65504])).toBeUndefined();
    expect(first([...new Array<number>(100_000).fill(1), Infinity])).toBe(Infinity);
  });

  it('are found in 8-bit floats', () => {
    expect(firstNotFinite(Uint8Array.of(0x38, 0x7f), 'F8_E4M3')).toBeNaN();
    expect(firstNotFinite(Uint8Array.of(0x3c, 0x7c), 'F8_E5M2')).toBe(Infinity);
    expect(firstNotFinite(Uint8Array.of(0x7e, 0x38), 'F8_E4M3')).toBeUndefined();
  });

  it.each(DEQUANTISED.split(', ').filter((dtype) => dtype.includes('Q')) as DType[])(
    'are found in the scales of %s, in the last block, too',
    (dtype) => {
      const { block, bytes: size } = GGUF_TYPES.get(dtype)!;
      const blocks = Math.ceil(20_000 / block);
      const bytes = new Uint8Array(blocks * size).fill(0x11);
      expect(firstNotFinite(bytes, dtype)).toBeUndefined();
      const own = new DataView(bytes.buffer, (blocks - 1) * size);
      for (let at = 0; at < size; at += 2) own.setUint16(at, 0x7c00, true);
      expect(firstNotFinite(bytes, dtype)).toSatisfy((x) => !Number.isFinite(x));
    },
  );

  it('do not exist in integers', () => {
    expect(firstNotFinite(Uint8Array.of(255, 255), 'I8')).toBeUndefined();
  });
});
