import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { openBase } from '../../src/formats/openBase';
import { inFixtures, newPath } from '../support/cliResults';
import { expectParity, expectVerified, merge } from '../support/merges';

it('a merge into the values of a quantized base writes what was trained', async () => {
  const adapter = inFixtures('quantized', 'bnb-nf4/adapter');
  const options = { output: newPath('merged'), dtype: 'float32', quantize: 'nf4' };
  const merged = await merge(inFixtures('quantized', 'base'), [adapter], options);
  expectParity(merged);
  const name = 'model.layers.0.mlp.down_proj.weight';
  const stored = await merge(inFixtures('quantized', 'bnb-nf4'), [adapter], {
    output: newPath('merged'),
  });
  const [own, other] = [await openBase(merged.output), await openBase(stored.output)];
  const [have, values] = [await own.weights.readF32(name), await other.weights.readF32(name)];
  have.forEach((value, i) => {
    expect(Math.abs(value - values[i]!)).toBeLessThan(1e-6);
  });
  await Promise.all([own.close(), other.close()]);
});

it('a merge writes the quantized values of layers that the file has as one', async () => {
  const adapter = inFixtures('dinov2-swiglu', 'mlp/adapter');
  const options = { output: newPath('merged'), dtype: 'float32', quantize: 'nf4' };
  expectParity(await merge(inFixtures('dinov2-swiglu', 'base'), [adapter], options));
});

it.each([
  ['bnb-nf4', 'keep', 'F32'],
  ['bnb-int8', 'float32', 'F32'],
  ['torchao-int4', 'float32', 'F32'],
  ['gptq-order', 'float32', 'F32'],
  ['awq', 'keep', 'F16'],
  ['bnb-fp4', 'keep', 'F16'],
])('a merge into %s (%s) writes its numbers in %s', async (name, asked, dtype) => {
  const folder = inFixtures('quantized', name);
  const adapter = inFixtures('quantized', 'bnb-nf4/adapter');
  const merged = await merge(folder, [adapter], { output: newPath('merged'), dtype: asked });
  if (dtype === 'F32') expectParity(merged);
  await expectVerified(merged.output);
  const config: unknown = JSON.parse(readFileSync(path.join(merged.output, 'config.json'), 'utf8'));
  expect(config).not.toHaveProperty('quantization_config');
  const [before, after] = [await openBase(folder), await openBase(merged.output)];
  expect([...after.weights.tensors.keys()].sort()).toEqual(
    [...before.weights.tensors.keys()].sort(),
  );
  const dtypes = new Set([...after.weights.tensors.values()].map((tensor) => tensor.dtype));
  expect([...dtypes]).toEqual([dtype]);
  await Promise.all([before.close(), after.close()]);
});
