import type { StepMachine, StepSettings } from '../../lora/stepPlan';
import type { StepPlan } from '../../shared/stepPlan';
import { multipliesBf16 } from '../../runtime/processor';
import { findGpu } from '../../runtime/gpu';
import type { Runtime } from '../../runtime/runtime';
import { availableMemory } from '../training/memoryCheck';

/** What a runtime on this machine offers a training. */
export async function machineOf(runtime: Runtime): Promise<StepMachine> {
  const hasBf16 = runtime.kind === 'tensorflow';
  const gpu = hasBf16 && runtime.device === 'gpu' ? await findGpu() : null;
  return {
    hasBf16,
    multipliesBf16: hasBf16 && runtime.device === 'cpu' && multipliesBf16(),
    available: gpu ? gpu.memory_total - gpu.memory_used : availableMemory(),
  };
}

/** In what a model that only answers is held: auto goes by speed. */
export async function inferenceDtype(
  runtime: Runtime,
  asked: StepSettings['base_dtype'],
): Promise<StepPlan['base_dtype']> {
  const { hasBf16, multipliesBf16: isFaster } = await machineOf(runtime);
  return (asked === 'auto' ? isFaster : asked === 'bfloat16' && hasBf16) ? 'bfloat16' : 'float32';
}
