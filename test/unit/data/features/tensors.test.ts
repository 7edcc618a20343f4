import path from 'node:path';
import { expect, it } from 'vitest';
import { readFeatureTensors } from '../../../../src/data/features/tensors';
import type { TensorToWrite } from '../../../../src/formats/tensorWriter';
import { writeSafetensors } from '../../../../src/formats/safetensors/write';
import { temp } from '../../../support/temp';

async function read(
  labels: Omit<TensorToWrite, 'name' | 'shape'> & Partial<Pick<TensorToWrite, 'shape'>>,
  skip: boolean,
  x = [1, 2, 3],
) {
  const file = path.join(temp(), 'rows.safetensors');
  await writeSafetensors(file, [
    { name: 'features', dtype: 'F32', shape: [3, 1], data: Float32Array.from(x) },
    { name: 'labels', shape: [3], ...labels },
  ]);
  const { rows, problems } = await readFeatureTensors(file, {
    ...{ label: 'label', width: 1, columns: null, collector: { skip } },
  });
  return { rows, problems: problems.problems().map(({ message }) => message) };
}

it('keeps labels of 64 bits apart', async () => {
  const data = BigInt64Array.of(2n ** 24n, 2n ** 24n + 1n, -(2n ** 53n - 1n));
  const { rows } = await read({ dtype: 'I64', data }, false);
  expect(rows.map(({ label }) => label)).toEqual([2 ** 24, 2 ** 24 + 1, 1 - 2 ** 53]);
});

it('refuses labels that are too large to be told apart', async () => {
  const data = BigInt64Array.of(1n, 2n ** 53n + 2n, 0n);
  await expect(read({ dtype: 'I64', data }, false)).rejects.toThrow(/has more than 53 bits/);
});

it('refuses rows of no labels', async () => {
  const labels = { dtype: 'F32', shape: [3, 0], data: new Float32Array(0) } as const;
  await expect(read(labels, false)).rejects.toThrow(/labels have the shape \[3, 0\]/);
});

it.each([
  ['label', [1, NaN, 2], [1, 2, 3]],
  ['feature', [1, 0, 2], [1, Infinity, 3]],
])('reports a %s that is not finite, and leaves out its row', async (what, labels, x) => {
  const given = { dtype: 'F32', data: Float32Array.from(labels) } as const;
  for (const skip of [false, true]) {
    const { rows, problems } = await read(given, skip, x);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`A ${what} is NaN or infinite.`);
    expect(rows.map(({ line }) => line)).toEqual([1, 3]);
  }
});
