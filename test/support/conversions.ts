import { expect } from 'vitest';
import { detectAdapter, readAdapter } from '../../src/formats/adapterFormat';
import { openBase } from '../../src/formats/openBase';
import { GgufFile } from '../../src/formats/gguf/read';
import { withSafetensors } from '../../src/formats/safetensors/read';
import type { Adapter, LoraFactors } from '../../src/lora/adapter';
import { cliArgs, lastLine, newPath, type CliOptions } from './cliResults';
import { cli } from './commandLine';
import { gap } from './models';

/** The name of the output in each format. */
export const FORMATS = {
  mlx: 'adapter',
  gguf: 'adapter.gguf',
  kohya: 'adapter.safetensors',
  peft: 'adapter',
} as const;
export type Format = keyof typeof FORMATS;

export interface Conversion {
  readonly output: string;
  readonly notes: readonly string[];
  /** What was written to standard error. */
  readonly warnings: string;
}

/** Converts an adapter; it must succeed. */
export async function convert(
  adapter: string,
  to: Format,
  base: string | null,
  options: CliOptions = {},
): Promise<Conversion> {
  const output = newPath(FORMATS[to]);
  const args = cliArgs({ adapter, to, output, base: base ?? undefined, ...options });
  const { code, stdout, stderr } = await cli('convert', ...args, '--json');
  expect(code, stderr).toBe(0);
  return { ...(lastLine(stdout) as Conversion), output, warnings: stderr };
}

/** Converts an adapter; it must fail. Returns the error message. */
export async function conversionError(options: CliOptions): Promise<string> {
  const { code, stdout, stderr } = await cli('convert', ...cliArgs(options));
  expect(code).not.toBe(0);
  expect(stdout).toBe('');
  return stderr;
}

/** Reads an adapter of any format. */
export async function readConverted(adapter: string, base: string | null): Promise<Adapter> {
  const opened = base === null ? null : await openBase(base);
  try {
    return (await readAdapter(await detectAdapter(adapter), opened)).adapter;
  } finally {
    await opened?.close();
  }
}

/** dW [out, in] in f64. */
export function updateOf({
  A,
  B,
  r,
  in_features,
  out_features,
  scaling,
}: Omit<LoraFactors, 'path' | 'kind' | 'magnitude'>): Float64Array {
  const dW = new Float64Array(out_features * in_features);
  for (let o = 0; o < out_features; o++) {
    for (let k = 0; k < r; k++) {
      const b = scaling * B[o * r + k]!;
      for (let i = 0; i < in_features; i++) {
        dW[o * in_features + i]! += b * A[k * in_features + i]!;
      }
    }
  }
  return dW;
}

const largestOf = (values: Float64Array): number =>
  values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);

/** Both adapters have the same modules with the same updates. */
export function expectSameUpdates(have: Adapter, want: Adapter): void {
  const byPath = new Map(have.modules.map((m) => [m.path, m]));
  expect([...byPath.keys()].sort()).toEqual(want.modules.map((m) => m.path).sort());
  for (const m of want.modules) {
    const other = byPath.get(m.path)!;
    const [x, y] = [updateOf(other), updateOf(m)];
    expect(x.length).toBe(y.length);
    expect(largestOf(y)).toBeGreaterThan(0);
    const difference = x.map((value, i) => value - y[i]!);
    expect(largestOf(difference)).toBeLessThanOrEqual(1e-6 * largestOf(y));
    expect(other.kind).toBe(m.kind);
    expect(other.magnitude).toEqual(m.magnitude);
  }
}

/** No number differs by more than `tolerance`, relative to the largest number or 1. */
export function expectClose(have: Float32Array, want: Float32Array, tolerance: number): void {
  const largest = want.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
  expect(gap(have, want)).toBeLessThanOrEqual(tolerance * largest);
}

export type StoredTensors = ReadonlyMap<
  string,
  { readonly shape: readonly number[]; readonly data: Float32Array }
>;

/** All tensors of a .gguf or .safetensors file, as f32. */
export async function tensorsIn(file: string): Promise<StoredTensors> {
  const all = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  if (file.endsWith('.gguf')) {
    const source = await GgufFile.open(file);
    for (const tensor of source.header.tensors.values()) {
      all.set(tensor.name, { shape: tensor.shape, data: await source.readF32(tensor) });
    }
    await source.close();
    return all;
  }
  await withSafetensors(file, async (source) => {
    for (const { name, shape } of source.tensors.values()) {
      all.set(name, { shape, data: await source.readF32(name) });
    }
  });
  return all;
}

/** The metadata of a .gguf file. */
export async function ggufMetadata(file: string): Promise<GgufFile['header']['metadata']> {
  const source = await GgufFile.open(file);
  await source.close();
  return source.header.metadata;
}
