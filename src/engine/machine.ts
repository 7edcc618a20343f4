import type { StepMachine, StepSettings } from '../lora/stepPlan';
import type { StepPlan } from '../shared/stepPlan';
import { multipliesBf16 } from '../runtime/processor';
import type { Runtime } from '../runtime/types';
import { availableMemory } from './room';

/** What a runtime on this machine offers a training. */
export function machineOf(runtime: Runtime): StepMachine {
  const hasBf16 = runtime.kind === 'tensorflow';
  return { hasBf16, multipliesBf16: hasBf16 && runtime.device === 'cpu' && multipliesBf16(), available: availableMemory() };
}

/** In what a model that only answers is held: auto goes by speed. */
export function dtypeOn(runtime: Runtime, asked: StepSettings['base_dtype']): StepPlan['base_dtype'] {
  const { hasBf16, multipliesBf16: isFaster } = machineOf(runtime);
  return (asked === 'auto' ? isFaster : asked === 'bfloat16' && hasBf16) ? 'bfloat16' : 'float32';
}
