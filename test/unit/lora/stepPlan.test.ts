import { describe, expect, it } from 'vitest';
import {
  planStep,
  stepMemory,
  type StepMachine,
  type StepSettings,
} from '../../../src/lora/stepPlan';
import type { MemoryEstimate } from '../../../src/lora/memory';
import type { ModelSize } from '../../../src/lora/modelSize';
import type { StepPlan } from '../../../src/shared/run';

/** 10 layers of 100 bytes that can be recomputed, plus 500 bytes (or half of that) that cannot. */
const estimate = ({ base_dtype, quantized, recomputed_layers }: StepPlan): MemoryEstimate => {
  const ofDtype = base_dtype === 'bfloat16' ? 0.5 : 1;
  const factor = quantized ? 0.1 : ofDtype;
  const parts = {
    weights: 500 * factor,
    adapter: 0,
    gradients: 0,
    optimizer: 0,
    activations: (10 - recomputed_layers) * 100 * factor,
    working: 0,
  };
  return { ...parts, total: parts.weights + parts.activations };
};
const AUTO: StepSettings = { base_dtype: 'auto', gradient_checkpointing: 'auto' };
const plan = (settings: Partial<StepSettings>, machine: Partial<StepMachine>) => {
  const { plan, why } = planned(settings, machine, DENSE);
  return [plan.base_dtype, plan.recomputed_layers, why];
};
const DENSE = { num_layers: 10, quantized_bytes: null };
const planned = (
  settings: Partial<StepSettings>,
  machine: Partial<StepMachine>,
  model: Pick<ModelSize, 'num_layers' | 'quantized_bytes'>,
) =>
  planStep({ ...AUTO, ...settings }, model, estimate, {
    hasBf16: true,
    hasKernels: true,
    multipliesBf16: false,
    available: 1e9,
    ...machine,
  });

describe('the step plan', () => {
  it('uses f32 without recomputation if memory suffices and bf16 is unavailable', () => {
    expect(plan({}, {})).toEqual(['float32', 0, 'plain']);
  });

  it('uses bf16 if the processor has bf16 instructions', () => {
    expect(plan({}, { multipliesBf16: true })).toEqual(['bfloat16', 0, 'processor']);
    expect(plan({ base_dtype: 'float32' }, { multipliesBf16: true })).toEqual([
      'float32',
      0,
      'asked',
    ]);
  });

  it('recomputes as few layers as memory requires, with 10 % headroom', () => {
    expect(plan({}, { available: 1.1 * 1200 })).toEqual(['float32', 3, 'plain']);
    expect(plan({}, { available: 1.1 * 1200 - 1 })).toEqual(['float32', 4, 'plain']);
    expect(plan({ gradient_checkpointing: false }, { available: 1.1 * 1200 })).toEqual([
      'bfloat16',
      0,
      'memory',
    ]);
  });

  it('falls back to bf16, with recomputation, if f32 does not fit', () => {
    expect(plan({}, { available: 650 })).toEqual(['bfloat16', 4, 'memory']);
    expect(plan({ base_dtype: 'float32' }, { available: 650 })).toEqual(['float32', 9, 'asked']);
  });

  it('returns the smallest plan if nothing fits', () => {
    const growing = (own: StepPlan) => {
      const { total, ...parts } = estimate({ ...own, recomputed_layers: 0 });
      return { ...parts, total: total + own.recomputed_layers };
    };
    const none = { hasBf16: false, hasKernels: false, multipliesBf16: false, available: 10 };
    expect(planStep(AUTO, DENSE, growing, none).plan.recomputed_layers).toBe(0);
    const flat = (own: StepPlan) => estimate({ ...own, recomputed_layers: 0 });
    expect(planStep(AUTO, DENSE, flat, none).plan.recomputed_layers).toBe(0);
    expect(plan({}, { available: 10 })).toEqual(['bfloat16', 9, 'memory']);
  });

  it('keeps a quantized base in its blocks if asked, or if nothing else fits', () => {
    const quantized = { num_layers: 10, quantized_bytes: 100 };
    const blocks = (base_dtype: string) => ({ base_dtype, quantized: true, recomputed_layers: 0 });
    expect(planned({ base_dtype: 'quantized' }, {}, quantized)).toMatchObject({
      plan: blocks('float32'),
      why: 'asked',
    });
    const fast = { multipliesBf16: true };
    expect(planned({ base_dtype: 'quantized' }, fast, quantized).plan).toEqual(blocks('bfloat16'));
    expect(planned({}, { available: 250 }, quantized)).toMatchObject({
      plan: blocks('float32'),
      why: 'memory',
    });
    expect(planned({}, {}, quantized).plan.quantized).toBeUndefined();
    for (const [machine, model] of [
      [{}, DENSE],
      [{ hasKernels: false }, quantized],
    ] as const)
      expect(planned({ base_dtype: 'quantized' }, machine, model)).toMatchObject({
        plan: { base_dtype: 'float32' },
        why: 'refused',
      });
  });

  it('chooses nothing by itself that the machine cannot multiply, however little memory there is', () => {
    const model = { num_layers: 10, quantized_bytes: 100 };
    const both = [false, true];
    for (const hasBf16 of both)
      for (const hasKernels of both)
        for (const multipliesBf16 of hasBf16 ? both : [false])
          for (const available of [0, 100, 250, 650, 1000, 2000, 1e9]) {
            const machine = { hasBf16, hasKernels, multipliesBf16, available };
            const own = planStep(AUTO, model, estimate, machine).plan;
            expect(own.quantize, JSON.stringify(machine)).toBeUndefined();
            if (!hasBf16) expect(own.base_dtype, JSON.stringify(machine)).toBe('float32');
            if (!hasKernels) expect(own.quantized, JSON.stringify(machine)).toBeUndefined();
          }
  });

  it('follows explicit settings and rejects bf16 where unavailable', () => {
    expect(plan({ gradient_checkpointing: true }, {})).toEqual(['float32', 9, 'plain']);
    expect(plan({ base_dtype: 'bfloat16' }, { hasBf16: false })).toEqual(['float32', 0, 'refused']);
    expect(plan({}, { hasBf16: false, available: 10 })).toEqual(['float32', 9, 'plain']);
  });
});

describe('the memory of each type', () => {
  const machine = (own: Partial<StepMachine>): StepMachine => ({
    hasBf16: true,
    hasKernels: true,
    multipliesBf16: false,
    available: 1e9,
    ...own,
  });
  const blocks = { num_layers: 10, quantized_bytes: 100 };

  it('is that of a step without recomputation, and with as much as there is', () => {
    expect(stepMemory(blocks, estimate, machine({}))).toEqual([
      { base_dtype: 'float32', bytes: 1500, recomputed_bytes: 600, fit: 'fits' },
      { base_dtype: 'bfloat16', bytes: 750, recomputed_bytes: 300, fit: 'fits' },
      { base_dtype: 'quantized', bytes: 150, recomputed_bytes: 60, fit: 'fits' },
    ]);
  });

  it('leaves out types that the machine or the base does not have', () => {
    const names = (model: Pick<ModelSize, 'num_layers' | 'quantized_bytes'>, own: StepMachine) =>
      stepMemory(model, estimate, own).map(({ base_dtype }) => base_dtype);
    expect(names(DENSE, machine({}))).toEqual(['float32', 'bfloat16']);
    expect(names(blocks, machine({ hasBf16: false }))).toEqual(['float32', 'quantized']);
    expect(names(blocks, machine({ hasKernels: false }))).toEqual(['float32', 'bfloat16']);
    expect(stepMemory(blocks, estimate, machine({}), ['float32'])).toHaveLength(1);
  });

  it.each([
    [1.1 * 1500, 'fits'],
    [1.1 * 1500 - 1, 'recomputed'],
    [600, 'recomputed'],
    [599, 'exceeds'],
  ])('in %d bytes is said to fit as a step would be planned: %s', (available, fit) => {
    expect(stepMemory(DENSE, estimate, machine({ available }))[0]!.fit).toBe(fit);
    const { plan, estimate: planned } = planStep(
      { ...AUTO, base_dtype: 'float32' },
      DENSE,
      estimate,
      machine({ available }),
    );
    expect(plan.recomputed_layers > 0).toBe(fit !== 'fits');
    expect(planned.total > available).toBe(fit === 'exceeds');
  });
});
