import { throwIfCancelled } from '../../common/cancellation';
import type { PipelineBase, PipelineTensor } from '../../formats/diffusion/base';
import { areFinite } from '../../formats/checkFinite';
import { isFloat } from '../../formats/safetensors/read';
import { LoraError } from '../../shared/errors';
import type { LeftOut } from './difference';

/**
 * What differs between two image pipelines of the same layout beside the modules that both have:
 * biases, norms, an autoencoder in the same file, and tensors that only one of them has. Tensors of
 * different layouts have unlike names and are not compared.
 *
 * @param compared Whether a tensor's rows are compared as those of modules.
 * @throws LoraError('base') when an element is not finite
 */
export async function otherPipelineTensors(
  base: PipelineBase,
  tuned: PipelineBase,
  compared: (tensor: PipelineTensor) => boolean,
  signal: AbortSignal,
): Promise<LeftOut[]> {
  const others = new Map(tuned.tensors.map((own) => [keyOf(own), own]));
  const found: LeftOut[] = [];
  for (const own of base.tensors) {
    throwIfCancelled(signal);
    const other = others.get(keyOf(own));
    others.delete(keyOf(own));
    if (compared(own)) continue;
    const norm = other ? await normOf(own, other) : null;
    if (norm !== 0 && haveSameLayout(own, base, tuned)) found.push({ name: nameOf(own), norm });
  }
  const rest = [...others.values()].filter(
    (own) => !compared(own) && haveSameLayout(own, tuned, base),
  );
  return [...found, ...rest.map((own) => ({ name: nameOf(own), norm: null }))];
}

const keyOf = ({ folder, name }: PipelineTensor): string => JSON.stringify([folder, name]);
const nameOf = ({ folder, name }: PipelineTensor): string =>
  folder === '' ? name : `${folder}.${name}`;

/** Whether the other pipeline could have a tensor of the same name. */
const haveSameLayout = ({ folder }: PipelineTensor, own: PipelineBase, other: PipelineBase) =>
  own.is_folder === other.is_folder && other.folders.includes(folder);

/**
 * Norm of the difference; null: there is none, since shapes or types differ.
 *
 * @throws LoraError('base') when it is not finite
 */
async function normOf(a: PipelineTensor, b: PipelineTensor): Promise<number | null> {
  if (a.info.shape.join() !== b.info.shape.join()) return null;
  if (!isFloat(a.info.dtype) || !isFloat(b.info.dtype)) {
    if (a.info.dtype !== b.info.dtype) return null;
    const [before, after] = [await a.source.readBytes(a.name), await b.source.readBytes(b.name)];
    return Buffer.compare(before, after) === 0 ? 0 : null;
  }
  const [before, after] = [await a.source.readF32(a.name), await b.source.readF32(b.name)];
  const norm = Math.sqrt(after.reduce((sum, x, i) => sum + (x - before[i]!) ** 2, 0));
  if (Number.isFinite(norm)) return norm;
  const { name, source } = areFinite(before) ? b : a;
  throw new LoraError('base', 'Its numbers are not finite, or the models differ by too much.', {
    place: { file: source.file, tensor: name },
    fix: 'Download the model again.',
  });
}
