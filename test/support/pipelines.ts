import path from 'node:path';
import { readAnyAdapter } from '../../src/formats/adapterFormat';
import { withDiffusersNames } from '../../src/formats/diffusion/spellings';
import { updateOf } from './conversions';

/** Tiny parts of image pipelines, their adapters and merged weights. */
export const PIPELINES = path.resolve(import.meta.dirname, '../fixtures/diffusion');

/** An adapter's updates by the modules of Diffusers. */
export async function updatesOf(adapter: string): Promise<Map<string, Float64Array>> {
  const { adapter: read } = await readAnyAdapter(adapter, null);
  const { modules } = withDiffusersNames(read, adapter);
  return new Map(modules.map((m) => [m.path, updateOf(m)]));
}

/** The largest difference between the updates of two adapters, which have the same modules. */
export function largestGap(
  a: ReadonlyMap<string, Float64Array>,
  b: ReadonlyMap<string, Float64Array>,
): number {
  if ([...a.keys()].sort().join() !== [...b.keys()].sort().join()) return Infinity;
  const gaps = [...a].map(([name, own]) => {
    const other = b.get(name)!;
    return own.reduce((most, x, i) => Math.max(most, Math.abs(x - other[i]!)), 0);
  });
  return Math.max(...gaps);
}
