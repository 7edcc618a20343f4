import { expect } from 'vitest';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import {
  caseInput,
  gap,
  largest,
  loadFixture,
  readFloats,
  readJson,
  type SingleCase,
} from './models';

/**
 * Expects the loss and the gradients of an adapter's fixture to be the same by both kinds of
 * operations, but for rounding, and no tensor to be left.
 */
export async function expectSameResults(
  name: string,
  own: TensorFlowOps,
  plain: TensorFlowOps,
): Promise<void> {
  const have = await resultsOf(name, own);
  const want = await resultsOf(name, plain);
  expect(Math.abs(have.loss - want.loss)).toBeLessThanOrEqual(2e-6 * Math.max(1, want.loss));
  for (const [key, { data }] of want.gradients)
    expect(gap(have.gradients.get(key)!.data, data), key).toBeLessThanOrEqual(
      1e-4 * Math.max(1e-2, largest(data)),
    );
}

async function resultsOf(name: string, ops: TensorFlowOps) {
  const expected = readJson(name, 'expected.json') as SingleCase;
  const input = caseInput(name, expected, await readFloats(name, 'expected.safetensors'));
  const before = ops.live();
  const model = await loadFixture(ops, `${name.split('/')[0]!}/base`, `${name}/adapter`);
  const { loss_sum, labelled } = await model.accumulate(input, 3);
  const results = { loss: loss_sum / labelled, gradients: await model.gradients(labelled) };
  model.dispose();
  expect(ops.live()).toBe(before);
  return results;
}
