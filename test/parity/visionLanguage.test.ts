import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { writeDerivedAdapter } from '../../src/engine/adapters/writeDerivedAdapter';
import { mergeModel } from '../../src/engine/merge/mergeModel';
import { readAnyAdapter } from '../../src/formats/adapterFormat';
import { openBase } from '../../src/formats/openBase';
import type { BaseModel } from '../../src/formats/baseModel';
import type { Adapter } from '../../src/lora/adapter';
import { loadModel } from '../../src/models/loadModel';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { tensorsIn } from '../support/conversions';
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

const folder = path.join(fixtures, 'vision-language');
const MODELS = readdirSync(folder).filter((name) => !name.includes('.'));
const basePath = (model: string) => path.join(folder, model, 'base');
const adapterPath = (model: string) => path.join(folder, model, 'adapter');

let ops: TensorFlowOps;
let want: Floats;
beforeAll(async () => {
  ops = await tensorFlowOps();
  want = await readFloats('vision-language/expected.safetensors');
});

/** Fails unless a model computes what PEFT does. Closes the base. */
async function expectLogits(base: BaseModel, adapter: Adapter, name: string): Promise<void> {
  const input_ids = Int32Array.from(want.get('inputs.input_ids')!);
  const { length } = input_ids;
  const attention_mask = new Int32Array(length).fill(1);
  const model = await loadModel(base, adapter, { ops });
  const have = await model.logits({ batch: 1, length, input_ids, attention_mask });
  model.dispose();
  await base.close();
  const expected = want.get(`${name}.logits`)!;
  expect(gap(have, expected)).toBeLessThanOrEqual(2e-5 * Math.max(1, largest(expected)));
}

it('has fixtures of models with a language model of each kind of name', () => {
  expect(MODELS).toEqual(['gemma3', 'idefics3', 'internvl', 'llava', 'mistral3', 'qwen3_5']);
});

describe.each(MODELS)('an adapter of the language model of %s', (name) => {
  it("has PEFT's logits", async () => {
    const base = await openBase(basePath(name));
    const { adapter, warnings } = await readAnyAdapter(adapterPath(name), base);
    expect(warnings.map(({ message }) => message)).toEqual([]);
    await expectLogits(base, adapter, name);
  });

  it('is written with the names and shapes of tensors that PEFT finds on that base', async () => {
    const base = await openBase(basePath(name));
    const { adapter } = await readAnyAdapter(adapterPath(name), base);
    const output = path.join(temp(), 'adapter');
    await writeDerivedAdapter(output, adapter, {
      sources: [adapterPath(name)],
      title: 'copy',
      base,
      given: [],
    });
    await base.close();
    const weights = (place: string) => tensorsIn(path.join(place, 'adapter_model.safetensors'));
    expect(await weights(output)).toEqual(await weights(adapterPath(name)));
    const again = await openBase(basePath(name));
    const read = await readAnyAdapter(output, again);
    expect(read.warnings).toEqual([]);
    await expectLogits(again, read.adapter, name);
  });

  it('merges to the same logits, and keeps the tensors of the vision tower', async () => {
    const output = path.join(temp(), 'merged');
    await mergeModel({
      base: basePath(name),
      adapters: [adapterPath(name)],
      output,
      ...PLAIN_MERGE,
    });
    const tensors = (place: string) => tensorsIn(path.join(place, 'model.safetensors'));
    const [before, after] = [await tensors(basePath(name)), await tensors(output)];
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    const changed = [...after].filter(([own, { data }]) => gap(data, before.get(own)!.data) > 0);
    expect(changed.length).toBe(name === 'qwen3_5' ? 5 : 4);
    for (const [own] of changed)
      expect(own).toMatch(/(?:language|text)_model.*(?:q_proj|down_proj|in_proj_\w+)/);
    await expectLogits(await openBase(output), NO_ADAPTER, name);
    // transformers refuses some settings that are 1 instead of 1.0
    const numbers = (place: string) =>
      readFileSync(path.join(place, 'config.json'), 'utf8')
        .split('\n')
        .filter((line) => /\d,?$/.test(line))
        .map((line) => line.replace(/,$/, ''));
    expect(numbers(output).sort()).toEqual(numbers(basePath(name)).sort());
  });
});
