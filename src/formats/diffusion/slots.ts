import { LoraError } from '../../shared/errors';
import type { PipelineBase, PipelineTensor } from './base';
import { rowsOfParts } from './spellings';

/** A weight of Diffusers within a tensor of the base. */
export interface Slot {
  readonly tensor: PipelineTensor;
  /** Its first row there; 0 where the tensor is transposed. */
  readonly first: number;
  /** Its own, whether the tensor is transposed or not. */
  readonly rows: number;
  readonly columns: number;
}

/**
 * The weights of Diffusers' modules in the base's tensors.
 *
 * @throws LoraError('base') for a weight that cannot be divided, or that is there twice.
 */
export function slotsOf(base: Pick<PipelineBase, 'tensors'>): ReadonlyMap<string, Slot> {
  const slots = new Map<string, Slot>();
  for (const tensor of base.tensors) {
    const { module, info } = tensor;
    if (!module || info.shape.length < 2) continue;
    const shape = tensor.is_transposed ? info.shape.toReversed() : info.shape;
    const [out_features = 0, ...inner] = shape;
    const in_features = inner.reduce((a, b) => a * b, 1);
    const rows = rowsOfParts(module.paths.length, { in_features, out_features });
    if (!rows) throw cannotDivide(tensor);
    let first = 0;
    for (const [i, path] of module.paths.entries()) {
      const other = slots.get(path);
      if (other) throw isTwice(path, other.tensor, tensor);
      slots.set(path, { tensor, first, rows: rows[i]!, columns: in_features });
      first += rows[i]!;
    }
  }
  return slots;
}

const cannotDivide = ({ name, info, source, module }: PipelineTensor): LoraError =>
  new LoraError(
    'base',
    `The shape [${info.shape.join(', ')}] cannot be divided into ${module!.paths.join(', ')}.`,
    { place: { file: source.file, tensor: name }, fix: 'Download the model again.' },
  );

const isTwice = (path: string, a: PipelineTensor, b: PipelineTensor): LoraError =>
  new LoraError('base', `${a.name} and ${b.name} are both ${path}.`, {
    place: { file: b.source.file, tensor: b.name },
    fix: 'Use a file that has each weight once.',
  });
