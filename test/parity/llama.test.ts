import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadCausalLM } from '../../src/models/causalLM';
import { FIXTURES, inputOf, maxAbs, maxGap, openFixtureBase, rawOps, readCase, readFixtureAdapter, readSafetensors } from './llamaSupport';

const CASES = [
  'llama/lora-qv', 'llama/lora-attn-padded', 'llama/all-linear', 'llama/embed-tied', 'llama/layers-to-transform', 'llama/pissa-converted', 'llama/formats',
  'llama3/rslora', 'llama3/lm-head', 'llama3/embed', 'llama-sharded/bf16-adapter', 'llama-sharded/bf16-merge', 'mistral/sliding-window', 'qwen2/rank-alpha-pattern',
];
const ops = rawOps();

describe.each(CASES)('%s', (name) => {
  const folder = path.join(FIXTURES, name);
  const expected = readCase(folder);
  const tensors = readSafetensors(path.join(folder, 'expected.safetensors'));
  const input = inputOf(expected.inputs);

  it('gives the reference logits, loss and gradients', async () => {
    const base = openFixtureBase(path.join(folder, expected.base));
    const model = await loadCausalLM(base, readFixtureAdapter(path.join(folder, expected.adapter), expected.modules), { ops });
    const want = tensors.get('adapter.logits')!.data;
    const have = await model.logits(input);
    const vocab = want.length / input.input_ids.length;
    const seen = (x: Float32Array) => x.filter((_, i) => input.attention_mask[Math.floor(i / vocab)] === 1);
    const before = model.liveTensors();
    const { loss_sum, labelled } = await model.accumulate(input, 0);
    const gradients = await model.gradients(labelled);
    expect(model.liveTensors()).toBe(before);
    console.log(name, 'logits', maxGap(seen(have), seen(want)), 'loss', loss_sum / labelled - expected.adapter_loss);
    expect(maxGap(seen(have), seen(want))).toBeLessThan(5e-5 * Math.max(1, maxAbs(seen(want))));
    expect(Math.abs(loss_sum / labelled - expected.adapter_loss)).toBeLessThan(1e-5 * Math.max(1, expected.adapter_loss));
    let worst = 0;
    for (const [key, { data }] of [...tensors].filter(([k]) => k.startsWith('grad.'))) {
      const got = gradients.get(key.slice(5));
      expect(got, key).toBeDefined();
      const gap = maxGap(got!.data, data);
      worst = Math.max(worst, gap);
      expect(gap, key).toBeLessThan(1e-4 * Math.max(1e-2, maxAbs(data)));
    }
    console.log(name, 'grad', worst, gradients.size);
    model.dispose();
  });
});
