import { beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { Ops } from '../../src/models/ops/ops';
import { PEFT_CASES } from '../support/peftCases';
import {
  inputOf,
  loadFixture,
  rawOps,
  readFloats,
  readJson,
  type SingleCase,
} from '../support/models';
import { smallAdapter, smallBase, smallInput, SMALL_CONFIG } from '../support/smallModel';

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await rawOps();
});

/** Ops that note how many tensors were alive at most. */
function counted(inner: TensorFlowOps): { readonly ops: Ops; readonly most: () => number } {
  let most = 0;
  const ops = new Proxy(inner, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const result: unknown = Reflect.apply(value, target, args);
        most = Math.max(most, inner.live());
        return result;
      };
    },
  });
  return { ops, most: () => most };
}

describe.each(PEFT_CASES)('%s', (name) => {
  it('has the same gradients, bit for bit, when layers are computed again, and leaves no tensor behind', async () => {
    const { inputs } = readJson<SingleCase>(name, 'expected.json');
    const input = inputOf(
      inputs,
      (await readFloats(name, 'expected.safetensors')).get('inputs.pixel_values'),
    );
    const before = ops.live();
    const all = [];
    for (const recomputed_layers of [0, 1, 99]) {
      const model = await loadFixture(ops, `${name.split('/')[0]!}/base`, `${name}/adapter`, {
        recomputed_layers,
        lora_dropout: 0.1,
      });
      const loaded = ops.live();
      const { loss_sum, labelled } = await model.accumulate(input, 3);
      expect(ops.live()).toBe(loaded);
      all.push({ loss_sum, gradients: await model.gradients(labelled) });
      model.dispose();
    }
    expect(all[1]).toEqual(all[0]);
    expect(all[2]).toEqual(all[0]);
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
    const most = [];
    for (const recomputed_layers of [0, 2, 4]) {
      const counting = counted(ops);
      const model = await loadModel(
        smallBase(config),
        smallAdapter(() => true, config),
        { ops: counting.ops, recomputed_layers, base_dtype },
      );
      await model.accumulate(smallInput('none', 2, 150), 0);
      most.push(counting.most());
      model.dispose();
    }
    expect(most[1]).toBeLessThan(most[0]!);
    expect(most[2]).toBeLessThan(most[1]!);
  },
);
