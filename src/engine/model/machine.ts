import { availableMemory } from '../../common/system';
import type { StepMachine, StepSettings } from '../../lora/stepPlan';
import type { StepPlan } from '../../shared/run';
import { findGpu } from '../../runtime/gpu';
import type { Runtime } from '../../runtime/runtime';

/** What a runtime on this machine offers: bfloat16 support and free memory. */
export async function machineOf(runtime: Runtime): Promise<StepMachine> {
  const hasBf16 = runtime.kind === 'tensorflow';
  const gpu = hasBf16 && runtime.device === 'gpu' ? await findGpu() : null;
  return {
    hasBf16,
    multipliesBf16: hasBf16 && runtime.device === 'cpu' && runtime.multiplies_bf16,
    available: gpu ? gpu.memory_total - gpu.memory_used : availableMemory(),
  };
}

/** The dtype of a model that is used but not trained. auto: bfloat16 only if it is faster. */
export async function inferenceDtype(
  runtime: Runtime,
  requested: StepSettings['base_dtype'],
): Promise<StepPlan['base_dtype']> {
  const { hasBf16, multipliesBf16: isFaster } = await machineOf(runtime);
  const useBf16 = requested === 'auto' ? isFaster : requested === 'bfloat16' && hasBf16;
  return useBf16 ? 'bfloat16' : 'float32';
}
