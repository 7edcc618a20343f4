import type { TrainingSettings } from '../../../shared/recipe';

export type PlanSettings = Pick<
  TrainingSettings,
  'num_train_epochs' | 'max_steps' | 'per_device_train_batch_size' | 'gradient_accumulation_steps'
>;

/**
 * How a run goes through its examples. A last step of fewer batches is taken too, scaled by its
 * real content.
 */
export interface TrainingPlan {
  readonly batches_per_epoch: number;
  readonly steps_per_epoch: number;
  readonly total_steps: number;
}

export function planTraining(examples: number, settings: PlanSettings): TrainingPlan {
  const batches_per_epoch = Math.ceil(examples / settings.per_device_train_batch_size);
  const steps_per_epoch = Math.ceil(batches_per_epoch / settings.gradient_accumulation_steps);
  return {
    batches_per_epoch,
    steps_per_epoch,
    total_steps: settings.max_steps ?? Math.ceil(settings.num_train_epochs * steps_per_epoch),
  };
}

/**
 * Where a step (from 1) stands: its epoch (from 0) and its batches within it. A count of steps is
 * all that a run needs to go on.
 */
export function stepPosition(
  step: number,
  plan: TrainingPlan,
  accumulation: number,
): { readonly epoch: number; readonly batches: readonly number[] } {
  const epoch = Math.floor((step - 1) / plan.steps_per_epoch);
  const first = ((step - 1) % plan.steps_per_epoch) * accumulation;
  const last = Math.min(first + accumulation, plan.batches_per_epoch);
  return { epoch, batches: Array.from({ length: last - first }, (_, i) => first + i) };
}

/** Whether something that happens every so many steps happens after this one. */
export const isDue = (step: number, every: number): boolean => every > 0 && step % every === 0;
