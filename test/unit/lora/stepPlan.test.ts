import { describe, expect, it } from 'vitest';
import { planStep, type StepMachine, type StepSettings } from '../../../src/lora/stepPlan';
import type { MemoryEstimate } from '../../../src/lora/memory';
import type { StepPlan } from '../../../src/shared/run';

/** 10 layers of 100 bytes that can be computed again, on 500 (or half as many) that cannot. */
const estimate = ({ base_dtype, recomputed_layers }: StepPlan): MemoryEstimate => {
  const factor = base_dtype === 'bfloat16' ? 0.5 : 1;
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
  const {
    plan: { base_dtype, recomputed_layers },
    why,
  } = planStep({ ...AUTO, ...settings }, 10, estimate, {
    hasBf16: true,
    multipliesBf16: false,
    available: 1e9,
    ...machine,
  });
  return [base_dtype, recomputed_layers, why];
};

describe('how a step is taken', () => {
  it('is plain where memory suffices and the processor knows f32 only', () => {
    expect(plan({}, {})).toEqual(['float32', 0, 'plain']);
  });

  it('is in bf16 where the processor multiplies it by itself', () => {
    expect(plan({}, { multipliesBf16: true })).toEqual(['bfloat16', 0, 'processor']);
    expect(plan({ base_dtype: 'float32' }, { multipliesBf16: true })).toEqual([
      'float32',
      0,
      'asked',
    ]);
  });

  it('computes as few layers again as memory asks for, with a tenth to spare', () => {
    expect(plan({}, { available: 1.1 * 1200 })).toEqual(['float32', 3, 'plain']);
    expect(plan({}, { available: 1.1 * 1200 - 1 })).toEqual(['float32', 4, 'plain']);
    expect(plan({ gradient_checkpointing: false }, { available: 1.1 * 1200 })).toEqual([
      'bfloat16',
      0,
      'memory',
    ]);
  });

  it('goes over to bf16 where f32 does not fit at all, and computes again there too', () => {
    expect(plan({}, { available: 650 })).toEqual(['bfloat16', 4, 'memory']);
    expect(plan({ base_dtype: 'float32' }, { available: 650 })).toEqual(['float32', 9, 'asked']);
  });

  it('takes the smallest where nothing fits, for the message', () => {
    const growing = (own: StepPlan) => {
      const { total, ...parts } = estimate({ ...own, recomputed_layers: 0 });
      return { ...parts, total: total + own.recomputed_layers };
    };
    const none = { hasBf16: false, multipliesBf16: false, available: 10 };
    expect(planStep(AUTO, 10, growing, none).plan.recomputed_layers).toBe(0);
    const flat = (own: StepPlan) => estimate({ ...own, recomputed_layers: 0 });
    expect(planStep(AUTO, 10, flat, none).plan.recomputed_layers).toBe(0);
    expect(plan({}, { available: 10 })).toEqual(['bfloat16', 9, 'memory']);
  });

  it('does what is asked for, and says where there is no bf16', () => {
    expect(plan({ gradient_checkpointing: true }, {})).toEqual(['float32', 9, 'plain']);
    expect(plan({ base_dtype: 'bfloat16' }, { hasBf16: false })).toEqual(['float32', 0, 'refused']);
    expect(plan({}, { hasBf16: false, available: 10 })).toEqual(['float32', 9, 'plain']);
  });
});
