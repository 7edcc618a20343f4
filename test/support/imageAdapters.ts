import { readFileSync } from 'node:fs';
import path from 'node:path';
import { withSafetensors } from '../../src/formats/safetensors/read';
import { tensorsIn, type StoredTensors } from './conversions';

/** Adapters of image models in every form that is read, and what NumPy reckons for them. */
const FOLDER = path.resolve(import.meta.dirname, '../fixtures/diffusion-adapters');

export const imageAdapter = (name: string): string => path.join(FOLDER, `${name}.safetensors`);

/** The modules of Diffusers that each name of kohya's scripts stands for. */
const NAMES = JSON.parse(readFileSync(path.join(FOLDER, 'names.json'), 'utf8')) as Readonly<
  Record<string, readonly string[]>
>;

/** What NumPy measures of two files. */
export const MEASURES = JSON.parse(
  readFileSync(path.join(FOLDER, 'measures.json'), 'utf8'),
) as Readonly<Record<string, { norms: [number, number]; cosine: number; difference: number }>>;

/** What NumPy reckons, by the rest of its name. */
export async function reckoned(start: string): Promise<Map<string, Float32Array>> {
  const all = await tensorsIn(imageAdapter('expected'));
  return new Map(
    [...all].flatMap(([name, { data }]) =>
      name.startsWith(`${start}/`) ? [[name.slice(start.length + 1), data] as const] : [],
    ),
  );
}

/**
 * The updates of a file of LoRA by the modules of Diffusers: products of its tensors, without the
 * code that reads adapters.
 */
export async function productsIn(file: string): Promise<Map<string, Float64Array>> {
  const tensors = await tensorsIn(file);
  const found = new Map<string, Float64Array>();
  for (const [name, { shape, data }] of tensors) {
    const [, module, end] = /^(.*)\.(lora_down|lora_A)\.weight$/.exec(name) ?? [];
    if (module === undefined) continue;
    const up = tensors.get(`${module}.${end === 'lora_A' ? 'lora_B' : 'lora_up'}.weight`)!;
    const alpha = tensors.get(`${module}.alpha`)?.data[0];
    const scale = alpha === undefined ? 1 : alpha / shape[0]!;
    const update = productOf({ down: data, up: up.data, r: shape[0]!, scale });
    const own = module.replace(/^base_model\.model\./, '');
    const rows = withSwappedHalves(own, update, data.length / shape[0]!);
    placeParts(found, NAMES[own] ?? [own], { rows, columns: data.length / shape[0]! });
  }
  return found;
}

interface Product {
  readonly down: Float32Array;
  readonly up: Float32Array;
  readonly r: number;
  readonly scale: number;
}

function productOf({ down, up, r, scale }: Product): Float64Array {
  const [rows, columns] = [up.length / r, down.length / r];
  const update = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++)
    for (let k = 0; k < r; k++)
      for (let i = 0; i < columns; i++)
        update[row * columns + i]! += scale * up[row * r + k]! * down[k * columns + i]!;
  return update;
}

function withSwappedHalves(module: string, rows: Float64Array, columns: number): Float64Array {
  if (!module.endsWith('adaLN_modulation_1')) return rows;
  const half = (rows.length / columns / 2) * columns;
  return Float64Array.of(...rows.subarray(half), ...rows.subarray(0, half));
}

/** Divides rows among modules: equally, except for the MLP of Flux' single blocks. */
function placeParts(
  found: Map<string, Float64Array>,
  paths: readonly string[],
  { rows, columns }: { readonly rows: Float64Array; readonly columns: number },
): void {
  const size = paths.length === 4 ? columns * columns : rows.length / paths.length;
  for (const [n, own] of paths.entries()) {
    const isLast = n === paths.length - 1;
    found.set(own, rows.subarray(n * size, isLast ? rows.length : (n + 1) * size));
  }
}

/** The largest difference of two sets of numbers, as a share of the largest number of each. */
export function worstGap(
  have: ReadonlyMap<string, ArrayLike<number>>,
  want: ReadonlyMap<string, ArrayLike<number>>,
): number {
  const [a, b] = [[...have.keys()].sort().join('\n'), [...want.keys()].sort().join('\n')];
  if (a !== b) throw new Error(`Other modules:\n${a}\n\n${b}`);
  let worst = 0;
  for (const [name, values] of want) {
    const own = have.get(name)!;
    if (own.length !== values.length) throw new Error(`${name}: ${own.length}, ${values.length}`);
    const largest = Array.from(values).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    for (let i = 0; i < values.length; i++)
      worst = Math.max(worst, Math.abs(own[i]! - values[i]!) / (largest || 1));
  }
  return worst;
}

export type { StoredTensors };
export const namesIn = (file: string): Promise<string[]> =>
  withSafetensors(file, ({ tensors }) => Promise.resolve([...tensors.keys()]));
