import { readdirSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { mergeModel } from '../../src/engine/merge/mergeModel';
import { unmergeModelFile } from '../../src/engine/unmerge/unmergeModelFile';
import { readAnyAdapter } from '../../src/formats/adapterFormat';
import { openBase } from '../../src/formats/openBase';
import { openBaseUnder } from '../../src/formats/peft/vocabulary';
import type { BaseModel } from '../../src/formats/baseModel';
import type { Adapter } from '../../src/lora/adapter';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { PLAIN_MERGE } from '../support/mergeOptions';
import {
  fixtures,
  gap,
  largest,
  NO_ADAPTER,
  readFloats,
  tensorFlowOps,
  type Floats,
} from '../support/models';
import { temp } from '../support/temp';

const folder = path.join(fixtures, 'tied');
const basePath = path.join(folder, 'base');
const CASES = readdirSync(folder).filter((name) => /save|target/.test(name));
const adapterOf = (name: string) => path.join(folder, name, 'adapter');

let ops: TensorFlowOps;
let want: Floats;
beforeAll(async () => {
  ops = await tensorFlowOps();
  want = await readFloats('tied/expected.safetensors');
});

async function logitsOf(base: BaseModel, adapter: Adapter): Promise<Float32Array> {
  const input_ids = Int32Array.from(want.get('inputs.input_ids')!);
  const { length } = input_ids;
  const attention_mask = new Int32Array(length).fill(1);
  const model = await loadModel(base, adapter, { ops });
  try {
    return await model.logits({ batch: 1, length, input_ids, attention_mask });
  } finally {
    model.dispose();
    await base.close();
  }
}

function expectLogits(have: Float32Array, name: string): void {
  const expected = want.get(`${name}.logits`)!;
  expect(gap(have, expected), name).toBeLessThanOrEqual(2e-5 * Math.max(1, largest(expected)));
}

async function merge(names: readonly string[]): Promise<string> {
  const output = path.join(temp(), 'merged');
  await mergeModel({
    base: basePath,
    adapters: names.map(adapterOf),
    output,
    ...PLAIN_MERGE,
  });
  return output;
}

describe('an adapter of the embedding or the output layer of a base that ties them', () => {
  it('has fixtures of every combination', () => {
    expect(CASES).toHaveLength(23);
  });

  it.each(CASES)("has PEFT's logits: %s", async (name) => {
    const base = await openBaseUnder(basePath, adapterOf(name));
    const { adapter, warnings } = await readAnyAdapter(adapterOf(name), base);
    expect(warnings.filter(({ message }) => message.includes('ignored'))).toEqual([]);
    expectLogits(await logitsOf(base, adapter), name);
  });

  it.each(CASES)('merges to the same logits: %s', async (name) => {
    const output = await merge([name]);
    expectLogits(await logitsOf(await openBase(output), NO_ADAPTER), name);
  });

  it('stays tied where both change alike', async () => {
    for (const name of CASES.filter((own) => own.includes('tied-'))) {
      const base = await openBase(await merge([name]));
      expect(base.spec.head, name).toMatchObject({ tied: true });
      await base.close();
    }
  });

  it('can be taken out of a merge that untied the output layer', async () => {
    const merged = await merge(['tied-target-embed', 'target-head']);
    const output = path.join(path.dirname(merged), 'restored');
    const { largest_difference } = await unmergeModelFile({
      merged,
      output,
      adapters: [],
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    expect(largest_difference).toBeLessThan(1e-6);
  });
});
