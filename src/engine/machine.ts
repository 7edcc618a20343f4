import type { StepMachine } from '../lora/stepPlan';
import { multipliesBf16 } from '../runtime/processor';
import type { Runtime } from '../runtime/types';
import { availableMemory } from './room';

/** What a runtime on this machine offers a training. */
export function machineOf(runtime: Runtime): StepMachine {
  const hasBf16 = runtime.kind === 'tensorflow';
  return { hasBf16, multipliesBf16: hasBf16 && runtime.device === 'cpu' && multipliesBf16(), available: availableMemory() };
}
