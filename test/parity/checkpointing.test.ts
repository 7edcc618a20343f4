import { beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Ops } from '../../src/models/ops/ops';
import { PEFT_CASES } from '../support/peftCases';
import {
  caseInput,
  loadFixture,
  tensorFlowOps,
  readFloats,
  readJson,
  type SingleCase,
} from '../support/models';
import { smallAdapter, smallBase, smallInput, SMALL_CONFIG } from '../support/smallModel';

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

/** Ops that record the largest number of live tensors. */
function countingOps(inner: TensorFlowOps): { readonly ops: Ops; readonly peak: () => number } {
  let peak = 0;
  const ops = new Proxy(inner, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const result: unknown = Reflect.apply(value, target, args);
        peak = Math.max(peak, inner.live());
        return result;
      };
    },
  });
  return { ops, peak: () => peak };
}

describe.each(PEFT_CASES)('%s', (name) => {
  it('has bitwise identical gradients with recomputed layers and frees all tensors', async () => {
    const expected = readJson(name, 'expected.json') as SingleCase;
    const input = caseInput(name, expected, await readFloats(name, 'expected.safetensors'));
    const before = ops.live();
    const runs = [];
    for (const recomputed_layers of [0, 1, 99]) {
      const model = await loadFixture(ops, `${name.split('/')[0]!}/base`, `${name}/adapter`, {
        recomputed_layers,
        lora_dropout: 0.1,
      });
      const loaded = ops.live();
      const { loss_sum, labelled } = await model.accumulate(input, 3);
      expect(ops.live()).toBe(loaded);
      runs.push({ loss_sum, gradients: await model.gradients(labelled) });
      model.dispose();
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]).toEqual(runs[0]);
    expect(ops.live()).toBe(before);
  });
});

it.each(['float32', 'bfloat16'] as const)(
  'keeps fewer tensors alive, in %s',
  async (base_dtype) => {
    const config = {
      ...SMALL_CONFIG,
      num_hidden_layers: 5,
      layer_types: Array<string>(5).fill('full_attention'),
    };
    const peaks = [];
    for (const recomputed_layers of [0, 2, 4]) {
      const counting = countingOps(ops);
      const model = await loadModel(
        smallBase(config),
        smallAdapter(() => true, config),
        { ops: counting.ops, recomputed_layers, base_dtype },
      );
      await model.accumulate(smallInput('none', 2, 150), 0);
      peaks.push(counting.peak());
      model.dispose();
    }
    expect(peaks[1]).toBeLessThan(peaks[0]!);
    expect(peaks[2]).toBeLessThan(peaks[1]!);
  },
);
