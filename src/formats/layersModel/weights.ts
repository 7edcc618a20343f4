import { LoraError } from '../../shared/errors';
import { countOf } from '../../shared/values';
import { areFinite } from '../checkFinite';
import { fromF16 } from '../floats';
import { allocate, openFile, readFully, type OpenFile } from '../openFile';
import type { LayersModelFile, StoredWeight, WeightGroup } from './file';

/** A weight with its bytes as the shards have them. */
export interface WeightBytes {
  readonly weight: StoredWeight;
  readonly bytes: Uint8Array;
}

/** Beyond this, a browser could not load the model either. */
const MOST_WEIGHT_BYTES = 2 ** 31;
const AGAIN = 'Download or copy the model again, all of its files.';

/** Bytes of an element as it is stored. */
const ELEMENT_BYTES = { float32: 4, int32: 4, bool: 1, uint8: 1, uint16: 2, float16: 2 } as const;

/** How many bytes of the shards a weight takes. */
export const storedBytes = ({ shape, dtype, quantization }: StoredWeight): number =>
  shape.reduce((a, b) => a * b, ELEMENT_BYTES[quantization?.dtype ?? dtype]);

/** Numbers of a weight. */
export const elementsOf = ({ shape }: Pick<StoredWeight, 'shape'>): number =>
  shape.reduce((a, b) => a * b, 1);

/**
 * Reads all weights of a model. Their sizes are checked against those of the shards before anything
 * is read.
 *
 * @throws LoraError('base') naming the shard, and the weight if that is at fault.
 */
export async function readLayersWeights(
  model: LayersModelFile,
): Promise<ReadonlyMap<string, WeightBytes>> {
  const all = new Map<string, WeightBytes>();
  for (const group of model.groups) {
    const bytes = await readGroup(group, model.path);
    let at = 0;
    for (const weight of group.weights) {
      const end = at + storedBytes(weight);
      const own = { weight, bytes: bytes.subarray(at, end) };
      checkNumbers(own, group);
      all.set(weight.name, own);
      at = end;
    }
  }
  return all;
}

/**
 * Checks the shards of a model by their sizes alone.
 *
 * @throws LoraError('base') naming the shard, and the weight if that is at fault.
 */
export async function checkLayersShards(model: LayersModelFile): Promise<void> {
  for (const group of model.groups) {
    await withShards(group, model.path, () => Promise.resolve());
    for (const weight of group.weights) checkQuantization(weight, group);
  }
}

/** The bytes of a group's shards, one after the other. */
const readGroup = (group: WeightGroup, file: string): Promise<Uint8Array> =>
  withShards(group, file, async (opened, needed) => {
    const bytes = allocate(needed, file, group.weights[0]?.name ?? '');
    let at = 0;
    for (const source of opened) {
      await readFully(source, bytes.subarray(at, at + source.size), 0);
      at += source.size;
    }
    return bytes;
  });

/** Opens the shards of a group, whose bytes together are those of its weights. */
async function withShards<T>(
  { shards, weights }: WeightGroup,
  file: string,
  use: (opened: readonly OpenFile[], needed: number) => Promise<T>,
): Promise<T> {
  const needed = weights.reduce((sum, weight) => sum + storedBytes(weight), 0);
  if (needed > MOST_WEIGHT_BYTES)
    throw new LoraError('base', `The weights take ${countOf(needed, 'byte')}, more than 2 GiB.`, {
      place: { file, key: 'weightsManifest' },
      fix: 'Use a smaller model.',
    });
  const opened: OpenFile[] = [];
  try {
    for (const shard of shards) opened.push(await openFile(shard, 'base'));
    const present = opened.reduce((sum, { size }) => sum + size, 0);
    if (present !== needed) throw wrongSize({ shards, weights }, needed, present);
    return await use(opened, needed);
  } finally {
    for (const { handle } of opened) await handle.close();
  }
}

function wrongSize({ shards, weights }: WeightGroup, needed: number, present: number): LoraError {
  let end = 0;
  const cut = weights.find((weight) => (end += storedBytes(weight)) > present);
  const where = shards.length === 1 ? 'The shard has' : `Its ${shards.length} shards have`;
  return new LoraError(
    'base',
    `${where} ${countOf(present, 'byte')}, but the weights of the manifest take ${needed}.`,
    {
      place: { file: shards.at(-1)!, ...(cut && { tensor: cut.name }) },
      fix: AGAIN,
    },
  );
}

/** @throws LoraError('base') for a quantization without range. */
function checkQuantization({ quantization, name }: StoredWeight, { shards }: WeightGroup): void {
  const lacksRange =
    quantization &&
    quantization.dtype !== 'float16' &&
    (quantization.scale === undefined || quantization.min === undefined);
  if (lacksRange)
    throw new LoraError('base', 'The quantized weight has no scale and min.', {
      place: { file: shards[0]!, tensor: name },
      fix: AGAIN,
    });
}

/** @throws LoraError('base') for numbers that are not finite, or a quantization without range. */
function checkNumbers({ weight, bytes }: WeightBytes, group: WeightGroup): void {
  checkQuantization(weight, group);
  const { name, dtype } = weight;
  const place = { file: group.shards[0]!, tensor: name };
  if (dtype !== 'float32' || areFinite(numbersOf({ weight, bytes }))) return;
  throw new LoraError('base', 'The weight has numbers that are NaN or infinite.', {
    place,
    fix: 'Use an undamaged copy of the model: nothing can be computed with it.',
  });
}

/** The numbers of a float32 weight, as tfjs computes them from a quantized one. */
export function numbersOf({ weight, bytes }: WeightBytes): Float32Array {
  const { quantization } = weight;
  const copy = bytes.slice().buffer;
  if (!quantization) return new Float32Array(copy);
  if (quantization.dtype === 'float16') return fromF16(new Uint16Array(copy));
  const stored = quantization.dtype === 'uint8' ? new Uint8Array(copy) : new Uint16Array(copy);
  const { scale = 1, min = 0 } = quantization;
  return Float32Array.from(stored, (value) => value * scale + min);
}
