import { freemem, totalmem } from 'node:os';

/** Bytes that a new process can have. Linux tells what is available, caches included, within the container's limit;
 *  elsewhere "free" leaves the caches out and would frighten without need, so the whole memory counts. */
export function memoryThere(): number {
  const limit = process.constrainedMemory();
  const total = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return process.platform === 'linux' ? Math.min(total, availableMemory()) : total;
}

const availableMemory = () => (typeof process.availableMemory === 'function' ? process.availableMemory() : freemem());
