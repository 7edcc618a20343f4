import { beforeAll, expect, it } from 'vitest';
import type { Adapter } from '../../src/lora/adapter';
import { loadModel } from '../../src/models/loadModel';
import type { LabelledInput } from '../../src/models/model';
import type { Ops } from '../../src/models/ops/ops';
import { createRandom } from '../../src/shared/random';
import { objectiveOf } from '../../src/shared/objective';
import { cpuOps, tensorFlowOps } from '../support/models';
import { smallAdapter, smallBase, smallInput } from '../support/smallModel';

let backends: readonly Ops[];
beforeAll(async () => {
  backends = [await tensorFlowOps(), (await cpuOps()).ops];
});

/** Two pairs, with the loss of CPO, which also learns the chosen answers. */
function comparedInput(): LabelledInput {
  const objective = objectiveOf({
    task: 'causal_lm',
    objective: { method: 'cpo', beta: 0.3, cpo_alpha: 0.7 },
  });
  if (objective?.method !== 'cpo') throw new Error('not cpo');
  const input = smallInput('right', 4);
  return {
    ...input,
    comparison: { kind: 'pairs', objective, reference: null, margins: null },
  };
}

/** The adapter moved along a fixed direction. */
function moved(adapter: Adapter, by: number): Adapter {
  const along = (data: Float32Array, ...name: string[]) => {
    const random = createRandom(11, ...name);
    return data.map((value) => value + by * (random() - 0.5));
  };
  return {
    ...adapter,
    modules: adapter.modules.map((m) => ({
      ...m,
      A: along(m.A, m.path, 'A'),
      B: along(m.B, m.path, 'B'),
    })),
  };
}

const HEADS: readonly (readonly [string, (path: string) => boolean])[] = [
  ['frozen', (path) => path.includes('self_attn')],
  ['adapted', (path) => path === 'lm_head' || path.endsWith('q_proj')],
];

it.each(HEADS)(
  'the gradient of compared answers is right with an output layer that is %s',
  async (_, isAdapted) => {
    for (const ops of backends) {
      const adapter = smallAdapter(isAdapted);
      const input = comparedInput();
      const lossOf = async (own: Adapter) => {
        const model = await loadModel(smallBase(), own, { ops });
        const { loss_sum } = await model.evaluate(input);
        model.dispose();
        return loss_sum;
      };
      const model = await loadModel(smallBase(), adapter, { ops });
      const live = ops.live();
      await model.accumulate(input, 0);
      const gradients = await model.gradients(1);
      expect(ops.live()).toBe(live);
      model.dispose();
      const step = 2e-3;
      const want = (await lossOf(moved(adapter, step))) - (await lossOf(moved(adapter, -step)));
      let have = 0;
      for (const m of adapter.modules)
        for (const factor of ['A', 'B'] as const) {
          const random = createRandom(11, m.path, factor);
          const name = [...gradients.keys()].find((key) =>
            key.endsWith(`${m.path}.lora_${factor}.weight`),
          )!;
          for (const g of gradients.get(name)!.data) have += g * (random() - 0.5);
        }
      expect(Math.abs(have - want / (2 * step))).toBeLessThanOrEqual(
        0.01 * Math.max(1, Math.abs(have)),
      );
    }
  },
);
