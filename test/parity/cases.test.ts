import { beforeAll, describe, expect, it } from 'vitest';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { LabelledInput } from '../../src/models/model';
import { PEFT_CASES } from '../support/peftCases';
import {
  caseInput,
  gap,
  inputOf,
  largest,
  loadFixture,
  tensorFlowOps,
  readFloats,
  readJson,
  visible,
  type Floats,
  type SingleCase,
} from '../support/models';

const CASES = PEFT_CASES.map((name) => [name, 'adapter', 'base'] as const);
/** The same adapters and bases under other names. */
const OTHER_NAMES = [
  ['vit/lora-qv', 'adapter_old_names', 'base'],
  ['gemma3-vlm/text', 'adapter_old_names', 'base'],
  ['gemma3-vlm/text', 'adapter', 'base-module-names'],
] as const;

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

function expectLogits(have: Float32Array, want: Float32Array, input: LabelledInput): void {
  const h = visible(have, input);
  const w = visible(want, input);
  expect(gap(h, w)).toBeLessThanOrEqual(5e-5 * Math.max(1, largest(w)));
}

const expectLoss = (have: { loss_sum: number; labelled: number }, want: number) =>
  expect(Math.abs(have.loss_sum / have.labelled - want)).toBeLessThanOrEqual(
    1e-5 * Math.max(1, want),
  );

/** A gradient's name in the fixture: in a vision-language model, the module is within it. */
const nameOf = (key: string) =>
  key.slice('grad.'.length).replace('.model.language_model.', '.model.');

/** PEFT's factors of all experts are those of each here: A by expert, B by rank and expert. */
function ofExperts(
  key: string,
  data: Float32Array,
  { modules = {} }: SingleCase,
): [key: string, data: Float32Array][] {
  const [, path = '', factor] =
    /^grad\.base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(key) ?? [];
  const { parameter, num_experts: count = 1 } = modules[path] ?? {};
  if (count === 1) return [[key, data]];
  const module = path.replace(/\.base_layer$/, '');
  return Array.from({ length: count }, (_, expert) => [
    `grad.base_model.model.${module}.${expert}.${parameter}.lora_${factor}.weight`,
    factor === 'A'
      ? data.slice((expert * data.length) / count, ((expert + 1) * data.length) / count)
      : data.filter((_number, i) => i % count === expert),
  ]);
}

describe.each([...CASES, ...OTHER_NAMES])('%s, %s on %s', (name, folder, baseFolder) => {
  const expected = readJson(name, 'expected.json') as SingleCase;
  const base = `${name.split('/')[0]!}/${baseFolder}`;
  let want: Floats;
  let input: LabelledInput;
  beforeAll(async () => {
    want = await readFloats(name, 'expected.safetensors');
    input = caseInput(name, expected, want);
  });

  it("computes the base's logits and loss", async () => {
    const model = await loadFixture(ops, base, null);
    expectLogits(await model.logits(input), want.get('base.logits')!, input);
    expectLoss(await model.evaluate(input), expected.base_loss);
    expectLoss(await model.accumulate(input, 0), expected.base_loss);
    model.dispose();
  });

  it("computes the adapter's logits and loss", async () => {
    const model = await loadFixture(ops, base, `${name}/${folder}`);
    expectLogits(await model.logits(input), want.get('adapter.logits')!, input);
    expectLoss(await model.evaluate(input), expected.adapter_loss);
    model.dispose();
  });

  it('computes the gradients and frees all tensors', async () => {
    const before = ops.live();
    const model = await loadFixture(ops, base, `${name}/${folder}`);
    const loaded = ops.live();
    const loss = await model.accumulate(input, 0);
    expectLoss(loss, expected.adapter_loss);
    const gradients = await model.gradients(loss.labelled);
    const named = [...want]
      .filter(([key]) => key.startsWith('grad.'))
      .flatMap(([key, data]) => ofExperts(key, data, expected));
    expect([...gradients.keys()].sort()).toEqual(named.map(([key]) => nameOf(key)).sort());
    for (const [key, data] of named) {
      expect(gap(gradients.get(nameOf(key))!.data, data), key).toBeLessThanOrEqual(
        1e-4 * Math.max(1e-2, largest(data)),
      );
    }
    await model.step(loss.labelled, {
      learning_rate: 1e-3,
      weight_decay: 0.01,
      max_grad_norm: 1,
    });
    expect(ops.live()).toBe(loaded);
    model.dispose();
    expect(ops.live()).toBe(before);
  });
});

describe('GPT-2 with its original tensor names', () => {
  it('is the same model', async () => {
    const input = inputOf({
      input_ids: [[5, 17, 200, 3, 90, 41, 7, 300]],
      labels: [[5, 17, 200, 3, 90, 41, 7, 300]],
    });
    const current = await loadFixture(ops, 'gpt2/base', 'gpt2/fan-in-fan-out/adapter');
    const legacy = await loadFixture(ops, 'gpt2/base-legacy', 'gpt2/fan-in-fan-out/adapter');
    expect(await legacy.logits(input)).toEqual(await current.logits(input));
    current.dispose();
    legacy.dispose();
  });
});
