import { formatSize } from '../../common/formatSize';
import type { MemoryFit, StepMemory } from '../../shared/stepMemory';
import { countOf } from '../../shared/values';

const FITS: Readonly<Record<MemoryFit, string>> = {
  fits: 'fits',
  recomputed: 'fits with gradient checkpointing',
  exceeds: 'does not fit',
};

/** A line about the batch, and one for each type that the base can be kept in. */
export function describeStepMemory(
  { rows, length, available, types }: StepMemory,
  adapted = '',
): string[] {
  const batch = `${countOf(rows, 'row')} of ${countOf(length, 'token')}`;
  return [
    `memory of a step with ${batch}${adapted}, of ${formatSize(available)} free:`,
    ...types.map(({ base_dtype, bytes, recomputed_bytes, fit }) => {
      const name = base_dtype.padEnd('bfloat16 '.length);
      const sizes = `${formatSize(bytes)}, ${formatSize(recomputed_bytes)} with gradient checkpointing`;
      return `  ${name} ${sizes}: ${FITS[fit]}`;
    }),
  ];
}
