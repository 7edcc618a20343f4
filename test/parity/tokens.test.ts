import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { mergeModel } from '../../src/engine/merge/mergeModel';
import { tiedWeight } from '../../src/formats/architecture/modules';
import { openBase } from '../../src/formats/openBase';
import { openBaseUnder } from '../../src/formats/peft/vocabulary';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { fillAdapterFolder } from '../../src/formats/peft/write';
import type { ModelTask } from '../../src/shared/task';
import type { Ops } from '../../src/models/ops/ops';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';
import { PLAIN_MERGE } from '../support/mergeOptions';
import {
  cpuOps,
  fixtures,
  gap,
  inputOf,
  largest,
  loadFixture,
  NO_ADAPTER,
  readFloats,
  readJson,
  tensorFlowOps,
  type BatchRows,
  type Floats,
} from '../support/models';
import { loadModel } from '../../src/models/loadModel';
import { temp } from '../support/temp';

interface TokenCase {
  readonly base: string;
  readonly task: ModelTask;
  readonly loss: number;
  readonly inputs: BatchRows;
}

const CASES = readdirSync(path.join(fixtures, 'tokens'));
const caseOf = (name: string) => readJson('tokens', name, 'expected.json') as TokenCase;
const adapterOf = (name: string) => path.join(fixtures, 'tokens', name, 'adapter');
const optionsOf = ({ task }: TokenCase) =>
  task === 'seq_cls' ? ({ task, num_labels: 3 } as const) : { task };

/** The base with what an adapter that knows further tokens saves of it. */
const openUnder = (name: string) =>
  openBaseUnder(
    path.join(fixtures, caseOf(name).base, 'base'),
    adapterOf(name),
    optionsOf(caseOf(name)),
  );

const isTiedTwice = (key: string, all: Floats): boolean => {
  const other = all.get(key.replace('lm_head', 'model.embed_tokens'));
  return key.includes('lm_head.token') && other?.join() === all.get(key)!.join();
};

let backends: Readonly<Record<string, Ops>>;
beforeAll(async () => {
  backends = { tensorflow: await tensorFlowOps(), cpu: (await cpuOps()).ops };
});

function expectNear(have: Float32Array, want: Float32Array, share: number, what: string): void {
  expect(gap(have, want), what).toBeLessThanOrEqual(share * Math.max(1, largest(want)));
}

describe.each(CASES)('rows of tokens, %s', (name) => {
  const own = caseOf(name);
  const input = inputOf(own.inputs);

  it.each(['tensorflow', 'cpu'])("has PEFT's logits, loss and gradients on %s", async (on) => {
    const ops = backends[on]!;
    const want = await readFloats('tokens', name, 'expected.safetensors');
    const before = ops.live();
    const base = await openUnder(name);
    const { adapter } = await readPeftAdapter(adapterOf(name), adapterBaseOf(base));
    const model = await loadModel(base, adapter, { ops });
    await base.close();
    const loaded = ops.live();
    expectNear(await model.logits(input), want.get('adapter.logits')!, 5e-5, 'logits');
    const { loss_sum, weight } = await model.accumulate(input, 0);
    expect(Math.abs(loss_sum / weight - own.loss)).toBeLessThanOrEqual(
      1e-5 * Math.max(1, own.loss),
    );
    const gradients = await model.gradients(weight);
    const named = [...want].filter(([key]) => key.startsWith('grad.'));
    expect([...gradients.keys()].sort()).toEqual(
      named.map(([key]) => key.slice('grad.'.length)).sort(),
    );
    for (const [key, data] of named)
      expect(gap(gradients.get(key.slice('grad.'.length))!.data, data), key).toBeLessThanOrEqual(
        1e-4 * Math.max(1e-2, largest(data)),
      );
    await model.step(weight, { learning_rate: 1e-3, weight_decay: 0.01, max_grad_norm: 1 });
    expect(ops.live()).toBe(loaded);
    model.dispose();
    expect(ops.live()).toBe(before);
  });

  it('writes what PEFT has written', async () => {
    const base = await openUnder(name);
    const { adapter, warnings } = await readPeftAdapter(adapterOf(name), adapterBaseOf(base));
    await base.close();
    expect(warnings.filter(({ message }) => message.includes('ignored'))).toEqual([]);
    const folder = temp();
    await fillAdapterFolder(folder, adapter, { task: own.task, labels: null, card: '' });
    const have = await readFloats(path.relative(fixtures, folder), 'adapter_model.safetensors');
    const want = await readFloats('tokens', name, 'adapter/adapter_model.safetensors');
    // of a base with added tokens PEFT saves the tables, and the rows of a tied layer twice
    const isOfTable = (key: string) => /base_layer|lm_head\.weight/.test(key);
    const others = [...want.keys()].filter((key) => !isOfTable(key) && !isTiedTwice(key, want));
    expect([...have.keys()].sort()).toEqual(others.sort());
    for (const [key, data] of have) expect(gap(data, want.get(key)!), key).toBe(0);
    const config = (at: string) =>
      JSON.parse(readFileSync(path.join(at, 'adapter_config.json'), 'utf8')) as object;
    expect(config(folder)).toEqual(config(adapterOf(name)));
  });

  it('merges the rows that PEFT merges', async () => {
    const want = await readFloats('tokens', name, 'expected.safetensors');
    const output = path.join(temp(), 'merged');
    await mergeModel({
      base: path.join(fixtures, own.base, 'base'),
      adapters: [adapterOf(name)],
      output,
      ...PLAIN_MERGE,
    });
    const base = await openBase(output, optionsOf(own));
    const original = await openUnder(name);
    const merged = [...want].filter(([key]) => key.startsWith('merged.'));
    expect(merged.length).toBeGreaterThan(0);
    for (const [key, rows] of merged) {
      const tensor = key.slice('merged.'.length);
      const tied = tiedWeight(base.spec);
      const stored = tied?.name === tensor ? tied.storedAs : tensor;
      const table = await base.weights.readF32(stored);
      const before = await original.weights.readF32(stored);
      const width = base.spec.hidden_size;
      const expected = before.slice();
      for (let at = 0; at < rows.length; at += width + 1)
        expected.set(rows.subarray(at + 1, at + 1 + width), rows[at]! * width);
      expect(gap(table, expected), tensor).toBe(0);
    }
    const model = await loadModel(base, NO_ADAPTER, { ops: backends['tensorflow']! });
    expectNear(await model.logits(input), want.get('adapter.logits')!, 5e-5, 'merged logits');
    model.dispose();
    await base.close();
    await original.close();
  });
});

it('computes with rows in bf16 and recomputed layers, and frees all tensors', async () => {
  const ops = backends['tensorflow']!;
  const own = caseOf('tied-list');
  const input = inputOf(own.inputs);
  const before = ops.live();
  const model = await loadFixture(ops, `${own.base}/base`, 'tokens/tied-list/adapter', {
    base_dtype: 'bfloat16',
    recomputed_layers: 1,
  });
  const loaded = ops.live();
  const { loss_sum, weight } = await model.accumulate(input, 0);
  expect(Math.abs(loss_sum / weight - own.loss)).toBeLessThanOrEqual(0.02 * own.loss);
  await model.step(weight, { learning_rate: 1e-2, weight_decay: 0, max_grad_norm: 1 });
  const after = await model.evaluate(input);
  expect(after.loss_sum).toBeLessThan(loss_sum);
  expect(ops.live()).toBe(loaded);
  model.dispose();
  expect(ops.live()).toBe(before);
});

it.each([
  ['tied-list', 'llama', 'llama'],
  ['untied-both', 'llama3', 'llama'],
  ['scaled', 'gemma', 'gemma'],
])('merges into a .gguf base, too: %s', async (name, family, arch) => {
  const folder = temp();
  const gguf = path.join(folder, 'base.gguf');
  const { metadata, tensors } = await asGguf(path.join(fixtures, family, 'base'), arch);
  writeFileSync(gguf, ggufBytes(metadata, tensors));
  const output = path.join(folder, 'merged.gguf');
  await mergeModel({ base: gguf, adapters: [adapterOf(name)], output, ...PLAIN_MERGE });
  const base = await openBase(output);
  const model = await loadModel(base, NO_ADAPTER, { ops: backends['tensorflow']! });
  const want = await readFloats('tokens', name, 'expected.safetensors');
  const have = await model.logits(inputOf(caseOf(name).inputs));
  expectNear(have, want.get('adapter.logits')!, 5e-5, 'logits');
  model.dispose();
  await base.close();
});

describe('two adapters with rows of tokens', () => {
  /** An adapter of the fixtures with the same rows for other tokens. */
  function withTokens(name: string, trainable_token_indices: readonly number[]): string {
    const folder = path.join(temp(), 'adapter');
    cpSync(adapterOf(name), folder, { recursive: true });
    const file = path.join(folder, 'adapter_config.json');
    const config = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...config, trainable_token_indices }));
    return folder;
  }
  const merge = async (adapters: readonly string[]): Promise<string> => {
    const output = path.join(temp(), 'merged');
    const base = path.join(fixtures, 'llama/base');
    await mergeModel({ base, adapters, output, ...PLAIN_MERGE });
    return output;
  };

  it('are merged together where the tokens differ', async () => {
    const base = await openBase(
      await merge([adapterOf('tied-list'), withTokens('tied-list', [8, 4, 41])]),
    );
    const table = await base.weights.readF32('model.embed_tokens.weight');
    await base.close();
    const width = table.length / 384;
    const row = (id: number) => table.subarray(id * width, (id + 1) * width);
    for (const [own, other] of [
      [7, 8],
      [3, 4],
      [40, 41],
    ] as const)
      expect(gap(row(own), row(other))).toBe(0);
    expect(gap(row(7), row(3))).toBeGreaterThan(0);
  });

  it('are refused where a token is the same, or another changes the tied output layer', async () => {
    await expect(
      merge([adapterOf('tied-list'), withTokens('tied-both', [9, 40, 1])]),
    ).rejects.toThrow(/Two adapters have a row of token 40 in model.embed_tokens.weight/);
    const target = path.join(fixtures, 'llama/embed-tied/adapter');
    await expect(merge([adapterOf('tied-list'), target])).rejects.toThrow(
      /cannot be merged together/,
    );
  });
});
