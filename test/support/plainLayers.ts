import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Writes a layers model of dense layers without tfjs; returns the path of its model.json. */
export function writePlainLayers(
  folder: string,
  input: readonly number[],
  units: readonly number[],
): string {
  mkdirSync(folder, { recursive: true });
  const width = input.reduce((a, b) => a * b, 1);
  const sizes = [width, ...units];
  const batch_input_shape = [null, ...input];
  const dense = units.map((own, i) => ({
    class_name: 'Dense',
    config: { name: `dense_${i}`, units: own, activation: i === 0 ? 'relu' : 'softmax' },
  }));
  const first =
    input.length === 1
      ? { class_name: 'InputLayer', config: { name: 'input', batch_input_shape } }
      : { class_name: 'Flatten', config: { name: 'flatten', batch_input_shape } };
  const weights = units.flatMap((own, i) => [
    { name: `dense_${i}/kernel`, shape: [sizes[i], own], dtype: 'float32' },
    { name: `dense_${i}/bias`, shape: [own], dtype: 'float32' },
  ]);
  const numbers = units.reduce((sum, own, i) => sum + own * (sizes[i] ?? 0) + own, 0);
  writeFileSync(path.join(folder, 'group1-shard1of1.bin'), Buffer.alloc(4 * numbers));
  const file = path.join(folder, 'model.json');
  const modelTopology = { class_name: 'Sequential', config: { layers: [first, ...dense] } };
  const weightsManifest = [{ paths: ['group1-shard1of1.bin'], weights }];
  writeFileSync(file, JSON.stringify({ format: 'layers-model', modelTopology, weightsManifest }));
  return file;
}
