// What every fixture of PEFT's numbers is checked for, with any operations.
import { expect } from 'vitest';
import type { LabelledInput } from '../../src/models/model';
import type { Ops } from '../../src/models/ops/ops';
import { gap, largest, loadFixture, visible, type Floats, type SingleCase } from './models';

/** Fails unless logits of real tokens are those of PEFT. */
export function expectLogits(have: Float32Array, want: Float32Array, input: LabelledInput): void {
  const h = visible(have, input);
  const w = visible(want, input);
  expect(gap(h, w)).toBeLessThanOrEqual(5e-5 * Math.max(1, largest(w)));
}

/** Fails unless the mean loss is that of PEFT. */
export const expectLoss = (have: { loss_sum: number; labelled: number }, want: number): void =>
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

/** A fixture, and what PEFT computes for it. */
export interface PeftCase {
  readonly name: string;
  readonly base: string;
  /** Of the adapter, in the fixture's. */
  readonly folder: string;
  readonly expected: SingleCase;
  readonly want: Floats;
  readonly input: LabelledInput;
}

/** Fails unless loss and gradients are those of PEFT and all tensors are freed, also by a step. */
export async function expectGradients(
  ops: Ops & { live(): number },
  { name, base, folder, expected, want, input }: PeftCase,
): Promise<void> {
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
}
