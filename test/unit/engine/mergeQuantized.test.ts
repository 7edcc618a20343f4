import path from 'node:path';
import { expect, it } from 'vitest';
import type { MergeDtype } from '../../../src/engine/merge/form';
import { mergeModel } from '../../../src/engine/merge/mergeModel';
import { DEQUANTISED } from '../../../src/formats/gguf/dequantise';
import { GGUF_TYPES } from '../../../src/formats/gguf/header';
import { GgufFile } from '../../../src/formats/gguf/read';
import type { DType } from '../../../src/formats/tensorInfo';
import type { MergeSizes } from '../../../src/shared/mergeFacts';
import { createRandom } from '../../../src/shared/random';
import { PLAIN_MERGE } from '../../support/mergeOptions';
import { gap, largest } from '../../support/models';
import {
  BLOCK_TYPES,
  EMBED,
  OUTPUT,
  RandomAdapter,
  writeQuantizedBase,
} from '../../support/quantizedGguf';
import { temp } from '../../support/temp';

/** The largest error of a number of this size in each type. */
const ERROR_OF: Readonly<Record<string, number>> = {
  F32: 2 ** -23,
  F16: 2 ** -10,
  BF16: 2 ** -8,
  Q8_0: 0.57 / 127, // half a step, and that of the scale in f16
};
const DTYPES: readonly MergeDtype[] = ['keep', 'float32', 'bfloat16', 'float16', 'q8_0'];

it('every type whose numbers are read has a merge here', () => {
  const blocks = DEQUANTISED.split(', ').filter((type) => GGUF_TYPES.get(type as DType)!.block > 1);
  expect([...BLOCK_TYPES].sort()).toEqual(blocks.sort());
});

it.each(Array.from({ length: 20 }, (_, seed) => seed))(
  "a merge into quantized weights is W + dW within the certificate's rounding error: %i",
  async (seed) => {
    await expectMerged(seed, BLOCK_TYPES);
  },
);

it.each(BLOCK_TYPES)(
  'a merge into %s keeps what is unchanged, and says what becomes F16',
  async (type) => {
    const { stored } = await expectMerged(5, [type]);
    const became = stored.filter(({ from }) => from === type).map(({ to }) => to);
    expect(became.sort()).toEqual(type === 'Q8_0' ? ['Q8_0'] : ['F16', type].sort());
  },
);

it.each(BLOCK_TYPES)(
  'a merge into %s makes all of it Q8_0 where that is asked for',
  async (type) => {
    const { stored } = await expectMerged(9, [type]);
    expect(stored.filter(({ from }) => from === type).map(({ to }) => to)).toEqual(['Q8_0']);
  },
);

/** Merges a random adapter into a base of such types, and compares all tensors. */
async function expectMerged(seed: number, types: readonly DType[]): Promise<MergeSizes> {
  const dtype = DTYPES[seed % DTYPES.length]!;
  const random = createRandom(seed, 'quantized');
  const folder = temp();
  const [base, adapterPath, output] = ['base.gguf', 'adapter', 'merged.gguf'].map((name) =>
    path.join(folder, name),
  ) as [string, string, string];
  const tied = random() < 0.5;
  const nextType = () => types[Math.floor(random() * types.length)]!;
  const numbers = await writeQuantizedBase(base, { tied, layers: 1, random, nextType });
  const changesOutput = seed % 4 > 0;
  const adapter = new RandomAdapter(random, { layers: 1, share: 0.7, changesOutput });
  await adapter.write(adapterPath);
  const merged = await mergeModel({
    ...PLAIN_MERGE,
    ...{ base, adapters: [adapterPath], output, dtype },
  });
  const isUntied = tied && [OUTPUT, EMBED].some((own) => changes(adapter, own));
  expect(merged.untied).toBe(isUntied);
  const file = await GgufFile.open(output);
  const stored = file.header.tensors;
  expect([...stored.keys()].sort()).toEqual(
    [...numbers.keys(), ...(isUntied ? [OUTPUT] : [])].sort(),
  );
  for (const tensor of stored.values()) {
    const before = numbers.get(tensor.name) ?? numbers.get(EMBED)!;
    const update = adapter.updates.get(tensor.name);
    const want =
      adapter.replaced.get(tensor.name) ??
      before.values.map((value, i) => value + (update?.[i] ?? 0));
    const error = gap(await file.readF32(tensor), want);
    const isSame = !changes(adapter, tensor.name) && tensor.dtype === before.dtype;
    const limit = isSame ? 0 : ERROR_OF[tensor.dtype]! * largest(want);
    expect(error, `${tensor.name} ${before.dtype} to ${tensor.dtype}`).toBeLessThanOrEqual(limit);
    const stated = merged.tensors.find(({ name }) => name === tensor.name);
    expect(stated !== undefined).toBe(update !== undefined);
    if (stated) expect(error).toBeLessThanOrEqual(stated.rounding_error + 2 ** -22 * largest(want));
  }
  await file.close();
  return merged.sizes;
}

const changes = ({ updates, replaced }: RandomAdapter, name: string): boolean =>
  updates.has(name) || replaced.has(name);
