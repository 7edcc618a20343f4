import { beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/models/loadModel';
import type { Ops } from '../../src/models/ops/ops';
import type { Model, LabelledInput, NamedTensor } from '../../src/models/model';
import type { Adapter } from '../../src/lora/adapter';
import { cpuOps, gap, largest, tensorFlowOps } from '../support/models';
import { smallAdapter, smallBase, smallInput } from '../support/smallModel';

let tensorFlow: Ops;
let cpu: Ops;
beforeAll(async () => {
  tensorFlow = await tensorFlowOps();
  cpu = (await cpuOps()).ops;
});

const TARGETS: readonly (readonly [string, (path: string) => boolean])[] = [
  ['every module', () => true],
  ['the attention of the upper layer', (path) => path.includes('layers.1.self_attn')],
  ['o_proj alone', (path) => path.endsWith('o_proj')],
  ['the MLP of the lower layer', (path) => path.includes('layers.0.mlp')],
  ['down_proj of the upper layer alone', (path) => path.endsWith('layers.1.mlp.down_proj')],
  ['the embedding alone', (path) => path.endsWith('embed_tokens')],
  ['the output layer alone', (path) => path === 'lm_head'],
];

async function gradientsOn(
  ops: Ops,
  adapter: Adapter,
  input: LabelledInput,
): Promise<{ loss: number; gradients: ReadonlyMap<string, NamedTensor> }> {
  const model = await loadModel(smallBase(), adapter, { ops });
  const { loss_sum, labelled } = await model.accumulate(input, 0);
  const gradients = await model.gradients(labelled);
  model.dispose();
  return { loss: loss_sum / labelled, gradients };
}

describe('libtensorflow and tfjs on the cpu', () => {
  it.each(['none', 'left', 'right'] as const)(
    'agree on loss and gradients with padding: %s',
    async (padding) => {
      const [a, b] = [
        await gradientsOn(
          tensorFlow,
          smallAdapter(() => true),
          smallInput(padding),
        ),
        await gradientsOn(
          cpu,
          smallAdapter(() => true),
          smallInput(padding),
        ),
      ];
      expect(Math.abs(a.loss - b.loss)).toBeLessThan(1e-5);
      for (const [name, { data }] of a.gradients)
        expect(gap(data, b.gradients.get(name)!.data), name).toBeLessThanOrEqual(
          1e-4 * Math.max(1e-2, largest(data)),
        );
    },
  );

  it('agree on logits and on generated tokens', async () => {
    const models = await Promise.all(
      [tensorFlow, cpu].map((ops) =>
        loadModel(
          smallBase(),
          smallAdapter(() => true),
          { ops },
        ),
      ),
    );
    const [a, b] = (await Promise.all(models.map((m) => m.logits(smallInput('none'))))) as [
      Float32Array,
      Float32Array,
    ];
    expect(gap(a, b)).toBeLessThanOrEqual(5e-5 * largest(a));
    const [generatedA, generatedB] = await Promise.all(
      models.map((m) =>
        m.generate([3, 9, 27], { max_new_tokens: 12, temperature: 0.8, seed: 5, stop_ids: [] }),
      ),
    );
    expect(generatedA).toHaveLength(12);
    expect(generatedA).toEqual(generatedB);
    models.forEach((m) => m.dispose());
  });
});

/**
 * The slope of the loss along the unit vector d of the gradient: measured as (loss(theta + e·d) -
 * loss(theta - e·d)) / 2e, and predicted as the gradient's norm.
 */
async function slope(
  loss: (adapter: Adapter) => Promise<number>,
  adapter: Adapter,
  gradients: ReadonlyMap<string, NamedTensor>,
  e: number,
): Promise<{ measured: number; predicted: number }> {
  const all = [...gradients.values()].map((g) => g.data);
  const norm = Math.sqrt(all.reduce((sum, g) => sum + g.reduce((s, v) => s + v * v, 0), 0));
  const moved = (sign: number): Adapter => ({
    ...adapter,
    modules: adapter.modules.map((m, i) => {
      const shift = (x: Float32Array, g: Float32Array) =>
        x.map((v, j) => v + (sign * e * g[j]!) / norm);
      return { ...m, A: shift(m.A, all[2 * i]!), B: shift(m.B, all[2 * i + 1]!) };
    }),
  });
  return {
    measured: ((await loss(moved(1))) - (await loss(moved(-1)))) / (2 * e),
    predicted: norm,
  };
}

describe('the gradient', () => {
  it.each(TARGETS)('is the slope of the loss for %s', async (_, wanted) => {
    const adapter = smallAdapter(wanted);
    const input = smallInput('left');
    const { gradients } = await gradientsOn(tensorFlow, adapter, input);
    const { measured, predicted } = await slope(
      async (moved) => (await gradientsOn(tensorFlow, moved, input)).loss,
      adapter,
      gradients,
      5e-3,
    );
    expect(Math.abs(measured / predicted - 1)).toBeLessThan(2e-3);
  });

  it.each(TARGETS)('is the slope of the loss under dropout for %s', async (_, wanted) => {
    const adapter = smallAdapter(wanted);
    const input = smallInput('right');
    const run = async (moved: Adapter) => {
      const model: Model = await loadModel(smallBase(), moved, {
        ops: tensorFlow,
        lora_dropout: 0.3,
      });
      const { loss_sum, labelled } = await model.accumulate(input, 11);
      const gradients = await model.gradients(labelled);
      model.dispose();
      return { loss: loss_sum / labelled, gradients };
    };
    const { measured, predicted } = await slope(
      async (moved) => (await run(moved)).loss,
      adapter,
      (await run(adapter)).gradients,
      5e-3,
    );
    expect(Math.abs(measured / predicted - 1)).toBeLessThan(2e-3);
  });
});
