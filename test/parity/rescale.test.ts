import { beforeAll, expect, it } from 'vitest';
import type { Adapter } from '../../src/lora/adapter';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Model } from '../../src/models/model';
import { tensorFlowOps } from '../support/models';
import { smallAdapter, smallBase } from '../support/smallModel';

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

const input = {
  batch: 1,
  length: 5,
  input_ids: Int32Array.of(3, 9, 27, 14, 1),
  attention_mask: new Int32Array(5).fill(1),
};
const logitsOf = async (model: Model) => Array.from(await model.logits(input));
const withScale = (adapter: Adapter, factor: number): Adapter => ({
  ...adapter,
  modules: adapter.modules.map((m) => ({ ...m, scaling: factor * m.scaling })),
});

async function logitsWith(adapter: Adapter, below: readonly Adapter[] = []): Promise<number[]> {
  const model = await loadModel(smallBase(), adapter, { ops, below });
  const logits = await logitsOf(model);
  model.dispose();
  return logits;
}

it('rescales stacked adapters without reloading and frees the replaced tensors', async () => {
  const upper = smallAdapter(() => true);
  const lower = smallAdapter((path) => path.includes('mlp'));
  const model = await loadModel(smallBase(), upper, { ops, below: [lower] });
  const none = { ...upper, modules: [] };
  const alive = model.liveTensors();
  for (const [scales, expected] of [
    [[0, 0], await logitsWith(none)],
    [[0, 1], await logitsWith(upper)],
    [[1, 0], await logitsWith(lower)],
    [[0.5, 2], await logitsWith(withScale(upper, 2), [withScale(lower, 0.5)])],
    [[1, 1], await logitsWith(upper, [lower])],
  ] as const) {
    await model.rescale(scales);
    const logits = await logitsOf(model);
    expect(
      Math.max(...logits.map((z, i) => Math.abs(z - expected[i]!))),
      scales.join(),
    ).toBeLessThan(1e-5);
    expect(model.liveTensors()).toBe(alive);
  }
  model.dispose();
});
