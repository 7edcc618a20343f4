// A GPU has none of the kernels that the binding brings: everything is then computed by operations
// of TensorFlow alone. Here both compute on the processor, so that their numbers can be compared.
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { EMPTY_ADAPTER } from '../../src/engine/model/backend';
import { toBF16 } from '../../src/formats/floats';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { loadModel } from '../../src/models/loadModel';
import type { Model } from '../../src/models/model';
import { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { TfBinding } from '../../src/models/ops/tfBinding';
import { PEFT_CASES } from '../support/peftCases';
import { expectGradients, expectLogits } from '../support/peftChecks';
import {
  caseInput,
  fixtures,
  gap,
  inputOf,
  largest,
  loadFixture,
  readFloats,
  readJson,
  tensorFlowOps,
  tfBinding,
  visible,
  withBase,
  type SingleCase,
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

/** A fixture of each base: every family, with images, experts and encoder-decoders. */
const ONE_OF_EACH = [...new Map(PEFT_CASES.map((name) => [name.split('/')[0]!, name])).values()];

async function peftCase(name: string) {
  const expected = readJson(name, 'expected.json') as SingleCase;
  const want = await readFloats(name, 'expected.safetensors');
  const input = caseInput(name, expected, want);
  return { name, base: `${name.split('/')[0]!}/base`, folder: 'adapter', expected, want, input };
}

describe.each(ONE_OF_EACH)('without kernels, %s', (name) => {
  it("has PEFT's logits, loss and gradients, and frees all tensors", async () => {
    const one = await peftCase(name);
    const model = await loadFixture(plain, one.base, `${name}/adapter`);
    expectLogits(await model.logits(one.input), one.want.get('adapter.logits')!, one.input);
    model.dispose();
    await expectGradients(plain, one);
  });
});

/** What rounding to bf16 moves logits by; see bf16.test.ts. */
const BF16 = { 'llama/lora-attn-padded': 0.03, 'qwen3_moe/experts': 0.03, 't5/qv': 0.049 };

describe.each(Object.entries(BF16))('without kernels, %s in bf16', (name, tolerance) => {
  it('has the logits and loss of f32 within the precision of bf16', async () => {
    const { base, input, want, expected } = await peftCase(name);
    const model = await loadFixture(plain, base, `${name}/adapter`, { base_dtype: 'bfloat16' });
    const have = visible(await model.logits(input), input);
    const exact = visible(want.get('adapter.logits')!, input);
    const norm = (x: Float32Array) => Math.hypot(...x);
    expect(norm(have.map((h, i) => h - exact[i]!)) / norm(exact)).toBeLessThan(tolerance);
    const { loss_sum, labelled } = await model.accumulate(input, 0);
    expect(Math.abs(loss_sum / labelled - expected.adapter_loss)).toBeLessThan(0.05);
    model.dispose();
  });
});

/** The logits of a prompt and of each token after it. */
async function decoded(model: Model): Promise<readonly Float32Array[]> {
  const decoder = model.decoder();
  const sequence = decoder.open();
  const first = await decoder.read(sequence, Int32Array.of(3, 9, 27, 11, 5), { isLast: true });
  const found = first instanceof Float32Array ? [Float32Array.from(first)] : [];
  for (const id of [8, 2, 30]) {
    const [next] = await decoder.step([sequence], [id]);
    if (next) found.push(Float32Array.from(next.logits));
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

it('rows of bf16 are replaced as on a GPU, which has no kernel for them', async () => {
  const binding = await tfBinding();
  const onGpu: TfBinding = {
    createTensor: (...given) => binding.createTensor(...given),
    deleteTensor: (id) => binding.deleteTensor(id),
    tensorDataSync: (id) => binding.tensorDataSync(id),
    executeOp: (...given) => binding.executeOp(...given),
    isUsingGpuDevice: () => true,
  };
  const found = [];
  for (const ops of [plain, new TensorFlowOps(onGpu)]) {
    const before = ops.live();
    const x = ops.upload(toBF16(Float32Array.from({ length: 12 }, (_, i) => i / 3)), [4, 3]);
    const values = ops.upload(toBF16(Float32Array.from({ length: 6 }, (_, i) => -i / 7)), [2, 3]);
    const places = ops.upload(Int32Array.of(3, 1), [2, 1]);
    const y = ops.scatter(x, places, values);
    expect(y.dtype).toBe('bf16');
    found.push([...(await ops.download(y))]);
    ops.free(x, values, places, y);
    expect(ops.live()).toBe(before);
  }
  expect(found[1]).toEqual(found[0]);
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
