import { beforeAll, describe, expect, it } from 'vitest';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { featureLoss } from '../support/features';
import {
  gap,
  inputOf,
  largest,
  loadFixture,
  readFloats,
  readJson,
  tensorFlowOps,
  visible,
  type BatchRows,
  type SingleCase,
} from '../support/models';

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

/** PEFT gives modules that the vectors do not depend on no gradient. */
const WITHOUT_GRADIENT = /\.pooler\./;

describe.each(['electra-features/features', 'mpnet/features'])(
  "an encoder's vectors: %s",
  (name) => {
    const expected = readJson(name, 'expected.json') as SingleCase;
    const base = `${name.split('/')[0]!}/base`;
    const rows = expected.inputs as Omit<BatchRows, 'labels'>;
    const input = inputOf({ ...rows, labels: rows.input_ids! });

    it.each(['base', 'adapter'] as const)("are transformers' with the %s", async (kind) => {
      const want = visible(
        (await readFloats(name, 'expected.safetensors')).get(`${kind}.logits`)!,
        input,
      );
      const model = await loadFixture(ops, base, kind === 'base' ? null : `${name}/adapter`);
      const have = visible(await model.hiddenStates(input), input);
      expect(gap(have, want)).toBeLessThanOrEqual(5e-5 * Math.max(1, largest(want)));
      model.dispose();
    });

    it('have the gradients of PEFT, and free all tensors', async () => {
      const want = await readFloats(name, 'expected.safetensors');
      const before = ops.live();
      const model = await loadFixture(ops, base, `${name}/adapter`);
      const loss = await featureLoss(model, input, want.get('inputs.target')!);
      expect(Math.abs(loss - expected.adapter_loss)).toBeLessThanOrEqual(1e-5 * loss);
      const gradients = await model.gradients(1);
      for (const [key, { data }] of gradients) {
        const own = want.get(`grad.${key}`);
        expect(own === undefined, key).toBe(WITHOUT_GRADIENT.test(key));
        const bound = own ? 1e-4 * Math.max(1e-2, largest(own)) : 0;
        expect(gap(data, own ?? new Float32Array(data.length)), key).toBeLessThanOrEqual(bound);
      }
      model.dispose();
      expect(ops.live()).toBe(before);
    });
  },
);
