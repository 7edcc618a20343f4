import type { TrainingSettings } from '../../shared/recipe';

/** The settings that the learning rate depends on. */
export type ScheduleSettings = Pick<
  TrainingSettings,
  'learning_rate' | 'lr_scheduler_type' | 'warmup_steps' | 'warmup_ratio'
>;

/**
 * Number of warm-up steps: warmup_steps, or else warmup_ratio of all steps, rounded up
 * (transformers' TrainingArguments.get_warmup_steps).
 */
export function warmupSteps(
  { warmup_steps, warmup_ratio }: ScheduleSettings,
  total: number,
): number {
  return warmup_steps > 0 ? warmup_steps : Math.ceil(total * warmup_ratio);
}

/**
 * The learning rate of a step, from 1 to `total`, by transformers' optimization.py
 * (get_*_schedule). The first step of a warm-up has rate 0.
 */
export function learningRate(settings: ScheduleSettings, step: number, total: number): number {
  const { learning_rate, lr_scheduler_type } = settings;
  const done = step - 1;
  const warmup = lr_scheduler_type === 'constant' ? 0 : warmupSteps(settings, total);
  if (done < warmup) return (learning_rate * done) / warmup;
  const decaySteps = Math.max(1, total - warmup);
  switch (lr_scheduler_type) {
    case 'cosine': {
      const angle = (Math.PI * (done - warmup)) / decaySteps;
      return learning_rate * Math.max(0, 0.5 * (1 + Math.cos(angle)));
    }
    case 'linear':
      return learning_rate * Math.max(0, (total - done) / decaySteps);
    case 'constant':
    case 'constant_with_warmup':
      return learning_rate;
  }
}
