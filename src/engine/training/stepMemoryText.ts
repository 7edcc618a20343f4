import { formatSize } from '../../common/formatSize';
import {
  formsOfSize,
  type CommonSize,
  type MemoryFit,
  type StepImages,
  type StepMemory,
} from '../../shared/stepMemory';
import { countOf } from '../../shared/values';

const FITS: Readonly<Record<MemoryFit, string>> = {
  fits: 'fits',
  recomputed: 'fits with gradient checkpointing',
  exceeds: 'does not fit',
};

/** A line about the batch, and one for each type that the base can be kept in. */
export function describeStepMemory(memory: StepMemory, adapted = ''): string[] {
  return [
    describeBatch(memory, adapted),
    ...memory.types.map(({ base_dtype, bytes, recomputed_bytes, fit }) => {
      const name = base_dtype.padEnd('bfloat16 '.length);
      const sizes = `${formatSize(bytes)}, ${formatSize(recomputed_bytes)} with gradient checkpointing`;
      return `  ${name} ${sizes}: ${FITS[fit]}`;
    }),
  ];
}

/** A line about the batch, and one for each model. */
export function describeCommonSizes(sizes: readonly CommonSize[], adapted = ''): string[] {
  const [first] = sizes;
  if (first === undefined) return [];
  return [
    describeBatch(first.memory, adapted),
    ...sizes.flatMap((size) => [
      `${size.model} (${(size.parameters / 1e9).toFixed(1)} B)`,
      ...formsOfSize(size).map(
        ({ name, bytes, fit }) =>
          `  ${name.padEnd('bfloat16 '.length)} ${formatSize(bytes)}: ${FITS[fit]}`,
      ),
    ]),
  ];
}

const describeBatch = ({ rows, length, images, available }: StepMemory, adapted: string): string =>
  `memory of a step with ${countOf(rows, 'row')} of ${countOf(length, 'token')}${images ? describeImages(images) : ''}${adapted}, of ${formatSize(available)} free:`;

/** ", with images of up to 196 tokens (the largest of the dataset)" */
const describeImages = ({ tokens, from }: StepImages): string =>
  `, with images of up to ${countOf(tokens, 'token')} ${from === 'dataset' ? '(the largest of the dataset)' : '(assumed: the largest that the base and the row allow)'}`;
