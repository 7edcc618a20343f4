import { expect, it } from 'vitest';
import { convolutionForward, gatesOf, uploadTaps } from '../../../src/models/attention/convolution';
import { DenseWeight } from '../../../src/models/weightTensor';
import { cpuOps } from '../../support/models';

it('sees the tokens before, but neither padding nor those of another segment', async () => {
  const { ops, alive } = await cpuOps();
  const before = alive();
  const shape = { batch: 2, length: 4 };
  const taps = uploadTaps(
    ops,
    {
      ...shape,
      input_ids: new Int32Array(8),
      attention_mask: Int32Array.of(0, 1, 1, 1, 1, 1, 1, 1),
      segment_ids: Int32Array.of(0, 0, 0, 0, 0, 0, 1, 1),
    },
    3,
  );
  // b = 1, c = 2 and x = 1, 2, ... in the first channel, 10 times that in the second
  const product = Float32Array.from({ length: 8 }, (_, i) => i + 1).reduce<number[]>(
    (rows, x) => [...rows, 1, 1, 2, 2, x, 10 * x],
    [],
  );
  const gates = gatesOf({ ops, shape }, ops.upload(Float32Array.from(product), [8, 6]));
  const tensor = ops.upload(Float32Array.of(100, 10, 1, 100, 10, 1), [2, 1, 3]);
  const weight = new DenseWeight(ops, tensor, null);
  const o = convolutionForward({ ops, shape, taps }, { kernel: 3, weight, bias: null }, gates);
  const first = (await ops.download(o)).filter((_, i) => i % 2 === 0);
  expect([...first]).toEqual([0, 4, 46, 468, 10, 112, 14, 156]);
  ops.free(o, gates.q, gates.k, gates.v, ...taps.filter((mask) => mask !== null));
  weight.dispose();
  expect(alive()).toBe(before);
});
