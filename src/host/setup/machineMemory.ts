import { totalmem } from 'node:os';
import { availableMemory } from '../../common/system';
import type { StepMachine } from '../../lora/stepPlan';
import { bf16OfProcessor, multipliesBf16 } from '../../runtime/processor';

/**
 * Bytes of memory that a new process can use. On Linux that is the available memory, which includes
 * caches, within the container's limit. Elsewhere "free" excludes caches and would be far too low,
 * so the total memory counts.
 */
export function availableHostMemory(): number {
  const limit = process.constrainedMemory();
  const total = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return process.platform === 'linux' ? Math.min(total, availableMemory()) : total;
}

/**
 * What a training run can use of this machine, assuming libtensorflow: with WebAssembly a training
 * run is slower and needs more memory.
 */
export const hostMachine = (available = availableHostMemory()): StepMachine => ({
  hasBf16: bf16OfProcessor() !== 'none',
  hasKernels: true,
  multipliesBf16: multipliesBf16(),
  available,
});
