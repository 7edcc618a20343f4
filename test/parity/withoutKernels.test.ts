// A GPU has none of the kernels that the binding brings: everything is then computed by operations
// of TensorFlow alone. Here both compute on the processor, so that their numbers can be compared.
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { loadModel } from '../../src/models/loadModel';
import type { Model } from '../../src/models/model';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import {
  fixtures,
  gap,
  inputOf,
  largest,
  loadFixture,
  tensorFlowOps,
  tfBinding,
  withBase,
} from '../support/models';

let fused: TensorFlowOps;
let plain: TensorFlowOps;
beforeAll(async () => {
  fused = await tensorFlowOps();
  plain = new TensorFlowOps(await tfBinding(), { fuse: false });
  expect(fused.fused).not.toBeNull();
  expect(plain.fused).toBeNull();
});

const IDS = [0, 1].map((row) =>
  Array.from({ length: 16 }, (_, i) => ((4 + row * 16 + i) * 7) % 96),
);
const INPUT = inputOf({
  input_ids: IDS,
  attention_mask: IDS.map((ids) => ids.map(() => 1)),
  labels: IDS,
});
const QUANTIZED = path.join(fixtures, 'quantized');

/** The logits of a prompt and of each token after it. */
async function decoded(model: Model): Promise<readonly Float32Array[]> {
  const decoder = model.decoder();
  const sequence = decoder.open();
  const first = await decoder.read(sequence, Int32Array.of(3, 9, 27, 11, 5), { isLast: true });
  const found = first instanceof Float32Array ? [Float32Array.from(first)] : [];
  for (const id of [8, 2, 30]) {
    const [logits] = await decoder.step([sequence], [id]);
    if (logits) found.push(Float32Array.from(logits));
  }
  decoder.close(sequence);
  return found;
}

function expectClose(own: readonly Float32Array[], other: readonly Float32Array[]): void {
  expect(own).toHaveLength(4);
  for (const [i, logits] of own.entries())
    expect(gap(logits, other[i]!), `token ${i}`).toBeLessThan(5e-5 * Math.max(1, largest(logits)));
}

describe.each(['llama', 'gemma2', 'gpt2', 'qwen3'])('without kernels, %s', (family) => {
  it('answers with the logits that the kernels give, and frees all tensors', async () => {
    const before = [fused.live(), plain.live()];
    const models = [fused, plain].map((ops) => loadFixture(ops, `${family}/base`, null));
    const [own, other] = await Promise.all(models);
    expectClose(await decoded(own!), await decoded(other!));
    own!.dispose();
    other!.dispose();
    expect([fused.live(), plain.live()]).toEqual(before);
  });
});

describe.each(['bnb-nf4', 'bnb-int8'])('without kernels, a base in %s', (name) => {
  it('has the logits that the kernels give for its blocks', async () => {
    await withBase(path.join(QUANTIZED, name), async (base) => {
      const own = await loadModel(base, EMPTY_ADAPTER, { ops: fused, quantized: true });
      const other = await loadModel(base, EMPTY_ADAPTER, { ops: plain, quantized: false });
      const logits = await own.logits(INPUT);
      expect(gap(logits, await other.logits(INPUT))).toBeLessThan(5e-5 * largest(logits));
      expectClose(await decoded(own), await decoded(other));
      own.dispose();
      other.dispose();
    });
  });
});

it('without kernels, LoRA on NF4 has the loss and gradients that they give', async () => {
  await withBase(path.join(QUANTIZED, 'bnb-nf4'), async (base) => {
    const folder = path.join(QUANTIZED, 'bnb-nf4', 'adapter');
    const { adapter } = await readPeftAdapter(folder, adapterBaseOf(base));
    const found = [];
    for (const [ops, quantized] of [
      [fused, true],
      [plain, false],
    ] as const) {
      const before = ops.live();
      const model = await loadModel(base, adapter, { ops, quantized });
      const { loss_sum, labelled } = await model.accumulate(INPUT, 0);
      found.push({ loss: loss_sum / labelled, gradients: await model.gradients(labelled) });
      model.dispose();
      expect(ops.live()).toBe(before);
    }
    const [own, other] = found;
    expect(other!.loss).toBeCloseTo(own!.loss, 5);
    expect(own!.gradients.size).toBeGreaterThan(0);
    for (const [module, { data }] of own!.gradients)
      expect(gap(data, other!.gradients.get(module)!.data), module).toBeLessThanOrEqual(
        1e-4 * Math.max(1e-2, largest(data)),
      );
  });
});

it('without kernels, answers by rounded products are those by exact ones', async () => {
  const model = await loadFixture(plain, 'llama/base', null);
  const written = (products: 'exact' | 'rounded') =>
    model.generate([3, 9, 27], {
      temperature: 0,
      seed: 0,
      stop_ids: [],
      max_new_tokens: 12,
      products,
    });
  const exact = await written('exact');
  expect(exact).toHaveLength(12);
  expect(await written('rounded')).toEqual(exact);
  model.dispose();
});
