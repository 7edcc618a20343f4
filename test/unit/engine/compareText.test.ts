import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { canonicalTexts, describeComparison } from '../../../src/engine/compare/text';
import { readPeftAdapter } from '../../../src/formats/peft/read';
import { compareAdapters } from '../../../src/lora/compare';
import { resizeFactors } from '../../../src/lora/resize';
import type { Adapter, LoraFactors } from '../../../src/lora/adapter';
import { fixtures } from '../../support/models';

const read = async (name: string) =>
  (await readPeftAdapter(path.join(fixtures, name, 'adapter'))).adapter;
const changed = (adapter: Adapter, change: (m: LoraFactors) => LoraFactors): Adapter => ({
  ...adapter,
  modules: adapter.modules.map(change),
});
const textOf = (a: Adapter, b: Adapter) =>
  describeComparison(compareAdapters(a, b), null, ['A', 'B']);

describe('a comparison of DoRA adapters', () => {
  it('names how much the magnitudes differ', async () => {
    const dora = await read('qwen3/dora');
    const tripled = changed(dora, (m) => ({ ...m, magnitude: m.magnitude!.map((x) => 3 * x) }));
    const { magnitudes } = compareAdapters(dora, tripled);
    expect(magnitudes).toHaveLength(dora.modules.length);
    for (const { difference } of magnitudes) expect(difference).toBeCloseTo(2 / 3, 6);
    expect(textOf(dora, tripled)).toMatch(
      /DoRA: the magnitudes, which .* do not contain, differ by up to 66\.\d+\s?% in \d+ modules\./,
    );
    expect(textOf(dora, dora)).toMatch(/DoRA: the magnitudes are the same/);
  });

  it('names that only one has magnitudes', async () => {
    const dora = await read('qwen3/dora');
    const plain = changed(dora, (m) => ({ ...m, magnitude: null }));
    expect(compareAdapters(dora, plain).magnitudes[0]?.difference).toBeNull();
    expect(textOf(dora, plain)).toMatch(/only one adapter has magnitudes/);
  });
});

describe('an update that is zero', () => {
  it('is named once, without numbers that are not finite', async () => {
    const some = await read('llama/lora-qv');
    const zero = changed(some, (m) => ({ ...m, B: m.B.map(() => 0) }));
    const text = textOf(some, zero);
    expect(text.match(/The update of B is zero\./g)).toHaveLength(1);
    expect(text).not.toMatch(/NaN|Infinity/);
    expect(textOf(zero, zero)).toMatch(/The adapters are equivalent/);
    expect(JSON.stringify(compareAdapters(some, zero))).not.toMatch(/NaN/);
  });

  it('has no error when its rank is reduced', async () => {
    const zero = changed(await read('llama/lora-qv'), (m) => ({ ...m, B: m.B.map(() => 0) }));
    const { error, adapter } = resizeFactors(zero, { kind: 'rank', rank: 1 });
    expect(error).toBeNull();
    expect(adapter.modules.every((m) => [...m.A, ...m.B].every(Number.isFinite))).toBe(true);
  });
});

it('lists modules in the order of the model, in the table and in both texts', async () => {
  const order = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'];
  const { config, modules, ...rest } = await read('llama/all-linear');
  const target_modules = order.map((name) => `${name}_proj`).reverse();
  const adapter: Adapter = { ...rest, config: { ...config, target_modules }, modules };
  const reversed = { ...adapter, modules: [...modules].reverse() };
  const partsIn = (text: string) =>
    [...text.matchAll(/^\S*layers\.0\.\w+\.(\w+)_proj /gm)].map(([, part]) => part);
  const texts = canonicalTexts(reversed, adapter);
  expect(partsIn(texts.a)).toEqual(order);
  expect(partsIn(texts.b)).toEqual(order);
  expect(partsIn(textOf(reversed, adapter))).toEqual(order);
  expect(texts.a).toContain('target_modules: ["q_proj","k_proj","v_proj","o_proj","gate_proj"');
});
