import { beforeAll, describe, expect, it } from 'vitest';
import type { RawOps } from '../../src/models/ops/raw';
import type { LabelledInput } from '../../src/models/types';
import { fixtures, gap, inputOf, largest, loadFixture, NO_ADAPTER, rawOps, readFloats, readJson, withBase, type Floats, type SingleCase } from '../support/models';
import { loadCausalLM } from '../../src/models/causalLM';

const CASES = [
  'llama/lora-qv', 'llama/lora-attn-padded', 'llama/all-linear', 'llama/embed-tied', 'llama/layers-to-transform', 'llama/pissa-converted', 'llama/formats',
  'llama3/rslora', 'llama3/lm-head', 'llama3/embed', 'llama-sharded/bf16-adapter', 'llama-sharded/bf16-merge', 'mistral/sliding-window', 'qwen2/rank-alpha-pattern',
];

let ops: RawOps;
beforeAll(async () => {
  ops = await rawOps();
});

/** Logits where the mask is 1: what stands at padding is undefined. */
function visible(logits: Float32Array, { attention_mask }: LabelledInput): Float32Array {
  const vocab = logits.length / attention_mask.length;
  return logits.filter((_, i) => attention_mask[Math.floor(i / vocab)] === 1);
}

function expectLogits(have: Float32Array, want: Float32Array, input: LabelledInput): void {
  const [h, w] = [visible(have, input), visible(want, input)];
  expect(gap(h, w)).toBeLessThanOrEqual(5e-5 * Math.max(1, largest(w)));
}

const expectLoss = (have: { loss_sum: number; labelled: number }, want: number) => expect(Math.abs(have.loss_sum / have.labelled - want)).toBeLessThanOrEqual(1e-5 * Math.max(1, want));

describe.each(CASES)('%s', (name) => {
  const expected = readJson<SingleCase>(name, 'expected.json');
  const input = inputOf(expected.inputs);
  const base = `${name.split('/')[0]!}/base`;
  let want: Floats;
  beforeAll(async () => {
    want = await readFloats(name, 'expected.safetensors');
  });

  it('gives the base\'s logits and loss', async () => {
    const model = await loadFixture(ops, base, null);
    expectLogits(await model.logits(input), want.get('base.logits')!, input);
    expectLoss(await model.evaluate(input), expected.base_loss);
    expectLoss(await model.accumulate(input, 0), expected.base_loss);
    model.dispose();
  });

  it('gives the adapter\'s logits and loss', async () => {
    const model = await loadFixture(ops, base, `${name}/adapter`);
    expectLogits(await model.logits(input), want.get('adapter.logits')!, input);
    expectLoss(await model.evaluate(input), expected.adapter_loss);
    model.dispose();
  });

  it('gives the gradients', async () => {
    const model = await loadFixture(ops, base, `${name}/adapter`);
    const loss = await model.accumulate(input, 0);
    expectLoss(loss, expected.adapter_loss);
    const gradients = await model.gradients(loss.labelled);
    const named = [...want].filter(([key]) => key.startsWith('grad.'));
    expect([...gradients.keys()].sort()).toEqual(named.map(([key]) => key.slice('grad.'.length)).sort());
    for (const [key, data] of named) {
      expect(gap(gradients.get(key.slice('grad.'.length))!.data, data), key).toBeLessThanOrEqual(1e-4 * Math.max(1e-2, largest(data)));
    }
    model.dispose();
  });
});

describe.each(['llama', 'llama3', 'llama-sharded', 'mistral', 'qwen2'])('%s', (family) => {
  it('is the same model under the older layout of its config', async () => {
    const input = inputOf({ input_ids: [[5, 17, 200, 3, 90, 41, 7, 300]], labels: [[5, 17, 200, 3, 90, 41, 7, 300]] });
    const model = await loadFixture(ops, `${family}/base`, null);
    const older = await withBase(`${fixtures}/${family}/base`, (base) => loadCausalLM({ ...base, config: readJson(family, 'base/config.legacy.json') }, NO_ADAPTER, { ops }));
    expect(await older.logits(input)).toEqual(await model.logits(input));
    model.dispose();
    older.dispose();
  });
});
