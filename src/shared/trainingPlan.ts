import type { TrainingSettings } from './recipe';

/** The settings that the number of steps depends on. */
export type PlanSettings = Pick<
  TrainingSettings,
  'num_train_epochs' | 'max_steps' | 'per_device_train_batch_size' | 'gradient_accumulation_steps'
>;

/**
 * How a run divides its examples into steps. The last step of an epoch may have fewer batches; its
 * loss is the mean over their labels all the same.
 */
export interface TrainingPlan {
  readonly batches_per_epoch: number;
  readonly steps_per_epoch: number;
  readonly total_steps: number;
}

/** The plan for a number of examples; max_steps overrides num_train_epochs. */
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
 * The epoch of a step (counted from 1) and its batches within that epoch (both counted from 0). A
 * resumed run needs nothing else to find its place.
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

/** Whether an action that is repeated every `every` steps (0: never) is due after this step. */
export const isDue = (step: number, every: number): boolean => every > 0 && step % every === 0;
