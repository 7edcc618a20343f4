import path from 'node:path';
import { readAnyAdapter } from '../../src/formats/adapterFormat';
import { writePeftAdapter } from '../../src/formats/peft/write';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import type { Adapter } from '../../src/lora/adapter';
import { temp } from './temp';

export type Shapes = Readonly<Record<string, readonly number[]>>;

/** A file of tensors of these shapes, each number another one. */
export async function fileOf(
  shapes: Shapes,
  metadata: Record<string, string> = {},
): Promise<string> {
  const file = path.join(temp(), 'lora.safetensors');
  let n = 0;
  const tensors = Object.entries(shapes).map(([name, shape]) => ({
    name,
    dtype: 'F32' as const,
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => ++n / 8),
  }));
  await writeSafetensors(file, tensors, metadata);
  return file;
}

/** The two factors of a module of kohya's scripts, and its alpha. */
export const kohya = (
  name: string,
  inner: readonly number[] = [3],
  up: readonly number[] = [],
): Shapes => ({
  [`${name}.alpha`]: [],
  [`${name}.lora_down.weight`]: [2, ...inner],
  [`${name}.lora_up.weight`]: [4, 2, ...up],
});

export const read = async (place: string) => (await readAnyAdapter(place, null)).adapter;

export async function throughPeft(adapter: Adapter): Promise<Adapter> {
  const folder = path.join(temp(), 'adapter');
  await writePeftAdapter(folder, adapter, { task: 'image_cls', labels: null, card: '' });
  return read(folder);
}
