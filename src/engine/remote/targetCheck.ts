import { formatSize } from '../../common/formatSize';
import type { TargetMachine, TargetReport } from '../../targets/target';
import { countOf } from '../../shared/values';

/** The memory that a run on a target can take: a GPU's, or the largest machine's; null: unknown. */
export function memoryOf({ machines }: TargetReport): number | null {
  const gpus = machines.flatMap((machine) => machine.gpus.flatMap(({ memory }) => memory ?? []));
  const sizes = gpus.length > 0 ? gpus : machines.flatMap(({ memory }) => memory ?? []);
  return sizes.length === 0 ? null : Math.max(...sizes);
}

/** Lines for people. */
export function describeReport({ machines, node, runtime, missing }: TargetReport): string[] {
  return [
    ...machines.map(describeMachine),
    `Node: ${node ?? 'is installed with the first run'}`,
    `Runtime: ${runtime ?? 'is installed with the first run'}`,
    ...missing.map((text) => `Missing: ${text}`),
  ];
}

function describeMachine({ name, platform, cores, memory, freeDisk, gpus }: TargetMachine): string {
  const parts = [
    platform,
    cores !== null && countOf(cores, 'core'),
    memory !== null && `${formatSize(memory)} of memory`,
    freeDisk !== null && `${formatSize(freeDisk)} of disk free`,
    ...gpus.map((gpu) =>
      gpu.memory === null ? gpu.name : `${gpu.name} with ${formatSize(gpu.memory)}`,
    ),
  ];
  return `${name}: ${parts.filter(Boolean).join(', ')}`;
}
