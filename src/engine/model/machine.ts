import { availableMemory } from '../../common/system';
import { estimateLoaded, type LoadedForm } from '../../lora/memory';
import type { ModelSize } from '../../lora/modelSize';
import type { StepMachine, StepSettings } from '../../lora/stepPlan';
import { bf16OfProcessor } from '../../runtime/processor';
import { findGpu } from '../../runtime/gpu';
import type { Runtime } from '../../runtime/runtime';

/** What libtensorflow offers on this processor, by what the processor says of itself. */
export function machineOfProcessor(available = availableMemory()): StepMachine {
  const bf16 = bf16OfProcessor();
  return {
    hasBf16: bf16 !== 'none',
    hasKernels: true,
    multipliesBf16: bf16 === 'fast',
    available,
  };
}

/** What a runtime on this machine offers: bfloat16 support and free memory. */
export async function machineOf(runtime: Runtime): Promise<StepMachine> {
  const isTensorflow = runtime.kind === 'tensorflow';
  const gpu = isTensorflow && runtime.device === 'gpu' ? await findGpu() : null;
  const onCpu = isTensorflow && runtime.device === 'cpu';
  return {
    hasBf16: isTensorflow && runtime.bf16 !== 'none',
    hasKernels: onCpu,
    multipliesBf16: onCpu && runtime.bf16 === 'fast',
    available: gpu ? gpu.memory_total - gpu.memory_used : availableMemory(),
  };
}

/**
 * auto: bfloat16 only if it is faster. Quantized weights stay in their blocks if that is asked for,
 * or if the model would not fit otherwise: the numbers are the same. fast: as auto, but in their
 * blocks in any case, from which tokens are written sooner.
 */
export async function inferenceForm(
  runtime: Runtime,
  requested: StepSettings['base_dtype'] | 'fast',
  size: ModelSize,
  isQuantizedNow = false,
): Promise<LoadedForm> {
  const { hasBf16, hasKernels, multipliesBf16: isFaster, available } = await machineOf(runtime);
  const asksForBlocks = requested === 'quantized' || requested === 'fast';
  const isAutomatic = requested === 'auto' || asksForBlocks;
  const useBf16 = isAutomatic ? isFaster : requested === 'bfloat16' && hasBf16;
  const base_dtype = useBf16 ? 'bfloat16' : 'float32';
  const keepsBlocks = hasKernels && size.quantized_bytes !== null;
  const fits = estimateLoaded(size, base_dtype) <= available;
  return {
    base_dtype,
    quantized: keepsBlocks && (asksForBlocks || isQuantizedNow || !fits),
  };
}
