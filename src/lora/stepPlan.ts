import type { BaseDtype } from '../shared/recipe';
import type { StepPlan } from '../shared/stepPlan';
import type { MemoryEstimate } from './memory';

export interface StepSettings {
  readonly base_dtype: BaseDtype;
  readonly gradient_checkpointing: 'auto' | boolean;
}

export interface StepMachine {
  /**
   * Whether what computes knows bf16, and whether the processor multiplies it by itself: faster
   * than f32, not only smaller.
   */
  readonly hasBf16: boolean;
  readonly multipliesBf16: boolean;
  /** Bytes. */
  readonly available: number;
}

/** Why base_dtype is what it is. */
export type StepReason = 'asked' | 'refused' | 'processor' | 'memory' | 'plain';

export interface PlannedStep {
  readonly plan: StepPlan;
  readonly estimate: MemoryEstimate;
  readonly why: StepReason;
}

/** An estimate may be a tenth too low. */
const MARGIN = 1.1;

/**
 * The fastest way that fits into memory; the smallest where none does. bf16 comes first where the
 * processor multiplies it, last where it only saves memory.
 */
export function planStep(
  asked: StepSettings,
  num_layers: number,
  estimate: (plan: StepPlan) => MemoryEstimate,
  machine: StepMachine,
): PlannedStep {
  const ways = dtypesOf(asked, machine).flatMap(({ base_dtype, why }) =>
    recomputedOf(asked, num_layers).map((recomputed_layers) => ({
      plan: { base_dtype, recomputed_layers },
      why,
    })),
  );
  let smallest: PlannedStep | null = null;
  for (const way of ways) {
    const planned = { ...way, estimate: estimate(way.plan) };
    if (planned.estimate.total * MARGIN <= machine.available) return planned;
    if (!smallest || planned.estimate.total < smallest.estimate.total) smallest = planned;
  }
  return smallest!;
}

function dtypesOf(
  { base_dtype }: StepSettings,
  { hasBf16, multipliesBf16 }: StepMachine,
): { readonly base_dtype: StepPlan['base_dtype']; readonly why: StepReason }[] {
  if (base_dtype === 'bfloat16' && !hasBf16) return [{ base_dtype: 'float32', why: 'refused' }];
  if (base_dtype !== 'auto') return [{ base_dtype, why: 'asked' }];
  if (!hasBf16) return [{ base_dtype: 'float32', why: 'plain' }];
  return multipliesBf16
    ? [{ base_dtype: 'bfloat16', why: 'processor' }]
    : [
        { base_dtype: 'float32', why: 'plain' },
        { base_dtype: 'bfloat16', why: 'memory' },
      ];
}

/** The topmost layer's backward pass comes first: to compute it again would save nothing. */
function recomputedOf({ gradient_checkpointing }: StepSettings, num_layers: number): number[] {
  if (gradient_checkpointing === 'auto') return Array.from({ length: num_layers }, (_, i) => i);
  return [gradient_checkpointing ? num_layers - 1 : 0];
}
