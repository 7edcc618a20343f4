import { beforeAll, describe, expect, it } from 'vitest';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { LabelledInput } from '../../src/models/model';
import { PEFT_CASES } from '../support/peftCases';
import { expectGradients, expectLogits, expectLoss } from '../support/peftChecks';
import {
  caseInput,
  inputOf,
  loadFixture,
  tensorFlowOps,
  readFloats,
  readJson,
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
    await expectGradients(ops, { name, base, folder, expected, want, input });
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
