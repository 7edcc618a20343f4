import { freemem, totalmem } from 'node:os';
import type { StepMachine } from '../../lora/stepPlan';
import { multipliesBf16 } from '../../runtime/processor';

/**
 * Bytes that a new process can have. Linux tells what is available, caches included, within the
 * container's limit; elsewhere "free" leaves the caches out and would frighten without need, so the
 * whole memory counts.
 */
export function availableMemory(): number {
  const limit = process.constrainedMemory();
  const total = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return process.platform === 'linux' ? Math.min(total, freeMemory()) : total;
}

const freeMemory = () =>
  typeof process.availableMemory === 'function' ? process.availableMemory() : freemem();

/**
 * What a training can use, as far as it is known before a runtime is looked for: where there is no
 * libtensorflow, a training is slower and takes more.
 */
export const thisMachine = (available = availableMemory()): StepMachine => ({
  hasBf16: true,
  multipliesBf16: (nativeBf16 ??= multipliesBf16()),
  available,
});

let nativeBf16: boolean | undefined;
