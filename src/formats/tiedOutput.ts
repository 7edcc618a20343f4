import { LoraError } from '../shared/errors';
import { tiedWeight } from './architecture/modules';
import { canonicalNames } from './architecture/names';
import type { Spec } from './architecture/spec';
import type { Shards } from './safetensors/shards';
import type { WeightSource } from './weightSource';

/** The bytes of each tensor that are compared at once. */
const PART_BYTES = 16 * 2 ** 20;

/** An output layer that the checkpoint has counts in some families, even if the config ties it. */
export function withStoredOutput(spec: Spec, tensors: WeightSource['tensors']): Spec {
  const { head } = spec;
  if (head.kind !== 'lm' || !head.prefers_stored) return spec;
  return { ...spec, head: { ...head, tied: !tensors.has(`${head.output.path}.weight`) } };
}

/**
 * Refuses a checkpoint whose config ties the output layer to the embedding, but which stores
 * another output layer: versions of transformers disagree on which of the two counts. The same
 * weight stored twice is read and accepted.
 *
 * @throws LoraError('base') naming the tensor.
 */
export async function refuseUntiedOutput(
  placed: Shards['placed'],
  spec: Spec,
  folder: string,
): Promise<void> {
  const tied = tiedWeight(spec);
  if (!tied) return;
  const names = canonicalNames(placed.keys(), spec);
  const [output, embedding] = [names.get(tied.name), names.get(tied.storedAs)];
  if (output === undefined || embedding === undefined) return;
  if (await areEqual(placed, output, embedding)) return;
  throw new LoraError(
    'base',
    `The config ties the output layer to the embedding, but the weights hold another output layer than ${embedding}.`,
    {
      place: { file: folder, tensor: output },
      fix: 'Set tie_word_embeddings to false in config.json to use this output layer, or remove the tensor.',
    },
  );
}

async function areEqual(placed: Shards['placed'], a: string, b: string): Promise<boolean> {
  const [fileOfA, fileOfB] = [placed.get(a)!, placed.get(b)!];
  const [infoOfA, infoOfB] = [fileOfA.tensors.get(a)!, fileOfB.tensors.get(b)!];
  const size = infoOfA.end - infoOfA.start;
  if (infoOfA.dtype !== infoOfB.dtype || infoOfB.end - infoOfB.start !== size) return false;
  for (let from = 0; from < size; from += PART_BYTES) {
    const count = Math.min(PART_BYTES, size - from);
    const left = Buffer.from(await fileOfA.readSlice(a, from, count));
    if (!left.equals(await fileOfB.readSlice(b, from, count))) return false;
  }
  return true;
}
