import path from 'node:path';
import { expect, it, vi } from 'vitest';
import { openMergeSource, partOf, type SourceTensor } from '../../../../src/engine/merge/source';
import { openBase } from '../../../../src/formats/openBase';
import { elementsOf } from '../../../../src/formats/tensorInfo';

const packed = path.resolve('test/fixtures/gpt_oss-mxfp4/base');

it('packed experts have no stored bytes of their values, and are not kept once they were read', async () => {
  const base = await openBase(packed);
  const source = await openMergeSource(base);
  const readF32 = vi.spyOn(base.weights, 'readF32');
  try {
    const experts = source.tensors.filter(({ isTransposed }) => isTransposed);
    expect(experts.length).toBeGreaterThan(0);
    expect(experts.map(({ readStored }) => readStored)).toEqual(experts.map(() => undefined));
    const [first] = experts as [SourceTensor];
    const size = elementsOf(first.shape);
    await first.read(0, size - 1);
    expect(readF32).toHaveBeenCalledTimes(first.shape[0]!);
    await first.read(size - 2, 2);
    expect(readF32).toHaveBeenCalledTimes(first.shape[0]!);
    await first.read(size - 2, 1);
    expect(readF32).toHaveBeenCalledTimes(first.shape[0]! + 1);
  } finally {
    await source.close();
    await base.close();
  }
});

it('reads the stored bytes of a part of a tensor', async () => {
  const readStored = vi.fn((_from: number, length: number) =>
    Promise.resolve(new Uint8Array(length)),
  );
  const whole: SourceTensor = {
    ...{ stored: 'w', name: 'w', dtype: 'BF16', shape: [3, 2, 4], file: 'w', bytes: null },
    read: (from, count) =>
      Promise.resolve(Float32Array.from({ length: count }, (_, i) => from + i)),
    readStored,
  };
  const part = partOf(whole, 8, 8);
  expect(part.shape).toEqual([8]);
  expect(await part.read(1, 2)).toEqual(Float32Array.of(9, 10));
  await part.readStored!(4, 6);
  expect(readStored).toHaveBeenCalledWith(20, 6);
});
