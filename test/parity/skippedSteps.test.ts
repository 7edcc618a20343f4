import { beforeAll, expect, it } from 'vitest';
import type { Model } from '../../src/models/model';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { featureLoss } from '../support/features';
import {
  caseInput,
  gap,
  inputOf,
  largest,
  loadFixture,
  readFloats,
  readJson,
  tensorFlowOps,
  type BatchRows,
  type Floats,
  type SingleCase,
} from '../support/models';

// PyTorch's AdamW passes over parameters whose gradient is none: these are not decayed either

let ops: TensorFlowOps;
let want: Floats;
beforeAll(async () => {
  ops = await tensorFlowOps();
  want = await readFloats('skipped-steps', 'expected.safetensors');
});

const STEP = { learning_rate: 1e-2, weight_decay: 0.5, max_grad_norm: 0 };

/** After three steps; the factors of `skipped` are exactly those of the start. */
async function expectSteps(
  model: Model,
  name: string,
  skipped: string,
  accumulate: () => Promise<number>,
): Promise<void> {
  const factorsOf = async () =>
    new Map(
      (await model.adapter()).modules.flatMap(({ path, A, B }) => [
        [`${path}.lora_A.weight`, A] as const,
        [`${path}.lora_B.weight`, B] as const,
      ]),
    );
  const start = await factorsOf();
  for (let i = 0; i < 3; i++) await model.step(await accumulate(), STEP);
  const end = await factorsOf();
  for (const [key, numbers] of end) {
    const right = want.get(`${name}.base_model.model.${key}`)!;
    const bound = 3e-5 * Math.max(1e-2, largest(right));
    expect(gap(numbers, right), key).toBeLessThanOrEqual(bound);
    const isSame = numbers.every((own, i) => own === start.get(key)![i]);
    expect(isSame, key).toBe(key.startsWith(`${skipped}.`));
  }
  expect(largest(end.get(`${skipped}.lora_A.weight`)!)).toBeGreaterThan(0);
  model.dispose();
}

it("are PyTorch's for MPNet with its pooler", async () => {
  const name = 'mpnet/features';
  const rows = (readJson(name, 'expected.json') as SingleCase).inputs as Omit<BatchRows, 'labels'>;
  const input = inputOf({ ...rows, labels: rows.input_ids! });
  const target = (await readFloats(name, 'expected.safetensors')).get('inputs.target')!;
  const model = await loadFixture(ops, 'mpnet/base', `${name}/adapter`);
  await expectSteps(model, 'mpnet', 'pooler.dense', async () => {
    await featureLoss(model, input, target);
    return 1;
  });
});

it("are PyTorch's for SigLIP with out_proj of its head", async () => {
  const qv = readJson('siglip/qv', 'expected.json') as SingleCase;
  const input = caseInput('siglip/qv', qv, await readFloats('siglip/qv', 'expected.safetensors'));
  const model = await loadFixture(ops, 'siglip/base', 'skipped-steps/siglip');
  const skipped = 'vision_model.head.attention.out_proj';
  await expectSteps(
    model,
    'siglip',
    skipped,
    async () => (await model.accumulate(input, 0)).labelled,
  );
});
