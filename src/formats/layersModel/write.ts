import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createFolder } from '../../common/atomicWrite';
import { isObject } from '../../shared/values';
import type { LayersModelFile } from './file';
import type { WeightBytes } from './weights';

/** As tfjs' converter cuts them, so that browsers keep them. */
const SHARD_BYTES = 4 * 2 ** 20;

/** How a model is written. */
export interface WriteOptions {
  /** The most bytes of a shard. */
  readonly shardBytes?: number;
  /** Adds files to the folder before it gets its name, which has these already. */
  readonly finish?: (folder: string, files: readonly string[]) => Promise<void>;
}

/**
 * Writes a model.json and its shards into a new folder, which any page with tfjs loads. Weights are
 * stored as they are given, in the order of the manifest.
 *
 * @throws LoraError('disk'), LoraError('usage') when the folder exists.
 */
export async function writeLayersModel(
  folder: string,
  { json, topology }: Pick<LayersModelFile, 'json' | 'topology'>,
  weights: readonly WeightBytes[],
  { shardBytes = SHARD_BYTES, finish }: WriteOptions = {},
): Promise<void> {
  const bytes = Buffer.concat(weights.map((own) => own.bytes));
  const count = Math.max(1, Math.ceil(bytes.length / shardBytes));
  const paths = Array.from({ length: count }, (_, i) => `group1-shard${i + 1}of${count}.bin`);
  const manifest = [{ paths, weights: weights.map(({ weight }) => weight) }];
  const { modelTopology } = json;
  const isWrapped = isObject(modelTopology) && 'model_config' in modelTopology;
  const text = JSON.stringify({
    ...json,
    modelTopology: isWrapped ? { ...modelTopology, model_config: topology } : topology,
    weightsManifest: manifest,
  });
  await createFolder(folder, async (temp) => {
    for (const [i, name] of paths.entries()) {
      const part = bytes.subarray(i * shardBytes, (i + 1) * shardBytes);
      await writeFile(path.join(temp, name), part, { flush: true });
    }
    await writeFile(path.join(temp, 'model.json'), text, { flush: true });
    await finish?.(temp, [...paths, 'model.json']);
  });
}
