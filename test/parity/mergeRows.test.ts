import { beforeAll, expect, it } from 'vitest';
import { kernelBlocks, kernelOf } from '../../src/engine/merge/kernelRows';
import type { Change } from '../../src/engine/merge/plan';
import { RoundingFacts } from '../../src/engine/merge/roundingFacts';
import type { SourceTensor } from '../../src/engine/merge/source';
import { streamTensor } from '../../src/engine/merge/stream';
import { fromBF16, fromF16, toBF16, toF16 } from '../../src/formats/floats';
import { RowMerger } from '../../src/lora/rowMerger';
import { lowRankRows, someRows, swappedHalves, type PlacedUpdate } from '../../src/lora/rowUpdates';
import { MergeKernel, type KernelDType } from '../../src/models/ops/mergeKernel';
import type { TfBinding } from '../../src/models/ops/tfBinding';
import { createRandom } from '../../src/shared/random';
import { tfBinding } from '../support/models';

let binding: Awaited<ReturnType<typeof tfBinding>>;
let kernel: MergeKernel;
beforeAll(async () => {
  binding = await tfBinding();
  kernel = MergeKernel.load(binding)!;
});

it("the kernel is part of this build's binding", () => {
  expect(kernel).not.toBeNull();
});

/** Random numbers, some of which are zeros, small or subnormal. */
function numbers(count: number, seed: number, spread: number): Float32Array {
  const random = createRandom(seed);
  const scales = [1, 1, 1, 0, 2 ** -12, 2 ** -20, 2 ** -130];
  return Float32Array.from({ length: count }, () => {
    const scale = scales[Math.floor(random() * scales.length)]!;
    return (2 * random() - 1) * spread * scale;
  });
}

const factors = (rows: number, columns: number, r: number) => ({
  path: 'm',
  kind: 'linear' as const,
  ...{ r, scaling: 0.3, in_features: columns, out_features: rows, magnitude: null },
  A: numbers(r * columns, r, 1),
  B: numbers(rows * r, r + 1, 1),
});

/** A whole update, one of some of the rows, one with exchanged halves, each of another rank. */
const updatesOf = (rows: number, columns: number, r: number): PlacedUpdate[] => [
  { first: 0, update: lowRankRows(factors(rows, columns, r)) },
  { first: 2, update: someRows(lowRankRows(factors(rows, columns, r + 2)), 1, rows - 4) },
  { first: 0, update: swappedHalves(lowRankRows(factors(rows, columns, 3))) },
];

const STORE = {
  F32: { to: (x: Float32Array) => x, from: (x: Uint8Array) => new Float32Array(x.buffer) },
  BF16: { to: toBF16, from: (x: Uint8Array) => fromBF16(new Uint16Array(x.buffer)) },
  F16: { to: toF16, from: (x: Uint8Array) => fromF16(new Uint16Array(x.buffer)) },
} as const;
const TYPES = ['F32', 'BF16', 'F16'] as const;

interface Weight {
  readonly dtype: KernelDType;
  readonly rows: number;
  readonly columns: number;
  readonly values: Float32Array;
}

function sourceOf({ dtype, rows, columns, values }: Weight): SourceTensor {
  const stored = STORE[dtype].to(values);
  const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
  const slice = (from: number, length: number) => Promise.resolve(bytes.slice(from, from + length));
  const width = bytes.length / (rows * columns);
  return {
    ...{ stored: 'w', name: 'w', dtype, shape: [rows, columns], file: null, bytes: null },
    read: async (from, count) =>
      Float32Array.from(STORE[dtype].from(await slice(from * width, count * width))),
    readStored: slice,
  };
}

/** The bytes and facts of a tensor of type `to` that a change makes. */
async function streamed(
  own: MergeKernel | null,
  { dtype }: Weight,
  to: KernelDType,
  change: Extract<Change, { kind: 'merged' | 'experts' }>,
) {
  const facts: unknown[] = [];
  const { data } = streamTensor(
    { ...{ name: 'w', dtype: to, from: dtype, shape: change.source.shape, file: null }, change },
    {
      ...{ signal: new AbortController().signal, file: 'base', kernel: own },
      onTensor: (done) => facts.push(done),
      onBytes: () => undefined,
    },
  );
  const parts: Buffer[] = [];
  for await (const part of (data as () => AsyncIterable<ArrayBufferView>)())
    parts.push(Buffer.from(part.buffer, part.byteOffset, part.byteLength));
  return { bytes: Buffer.concat(parts), facts: facts[0] as Record<string, number> };
}

const mergedBy = (
  own: MergeKernel | null,
  weight: Weight,
  { to, updates }: { readonly to: KernelDType; readonly updates: readonly PlacedUpdate[] },
) =>
  streamed(own, weight, to, {
    kind: 'merged',
    source: sourceOf(weight),
    merger: () => new RowMerger(updates, weight.columns),
  });

it.each(TYPES.flatMap((from) => TYPES.map((to) => [from, to] as const)))(
  'has the bytes and facts of JavaScript: %s to %s',
  async (dtype, to) => {
    const before = binding.getNumOfTensors();
    for (const [rows, columns, r] of [
      [6, 1, 1],
      [8, 7, 2],
      [6, 8, 4],
      [10, 513, 5],
      [6, 1100, 16],
    ] as const) {
      const values = numbers(rows * columns, rows + columns, 2);
      const weight = { dtype, rows, columns, values };
      const change = { to, updates: updatesOf(rows, columns, r) };
      const want = await mergedBy(null, weight, change);
      const have = await mergedBy(kernel, weight, change);
      expect(have.bytes.equals(want.bytes), `${rows} x ${columns}`).toBe(true);
      expect(Object.keys(have.facts)).toEqual(Object.keys(want.facts));
      for (const [key, value] of Object.entries(want.facts))
        if (typeof value === 'number')
          expect(Math.abs(have.facts[key]! - value), key).toBeLessThanOrEqual(1e-13 * value);
    }
    expect(binding.getNumOfTensors()).toBe(before);
  },
);

it('merges a weight in blocks of rows', async () => {
  const [rows, columns] = [1300, 1024];
  const weight = { dtype: 'F32', rows, columns, values: numbers(rows * columns, 1, 1) } as const;
  const change = { to: 'F16', updates: updatesOf(rows, columns, 4) } as const;
  const want = await mergedBy(null, weight, change);
  const have = await mergedBy(kernel, weight, change);
  expect(have.bytes.equals(want.bytes)).toBe(true);
  expect(have.facts['elements']).toBe(rows * columns);
});

it('merges each expert of a tensor into its own rows', async () => {
  const [experts, rows, columns] = [3, 6, 8];
  const values = numbers(experts * rows * columns, 1, 1);
  const weight = { dtype: 'BF16', rows: experts * rows, columns, values } as const;
  const merger = () => new RowMerger(updatesOf(rows, columns, 2), columns);
  const source = { ...sourceOf(weight), shape: [experts, rows, columns] };
  const change = { kind: 'experts', source, parts: [merger, null, merger] } as const;
  const want = await streamed(null, weight, 'BF16', change);
  const have = await streamed(kernel, weight, 'BF16', change);
  expect(have.bytes.equals(want.bytes)).toBe(true);
});

it.each([
  [NaN, 1, 'F32', 'The tensor of the base holds NaN.'],
  [-Infinity, 1, 'BF16', 'The tensor of the base holds -Infinity.'],
  [60000, 7000, 'F16', 'which F16 cannot store'],
] as const)('refuses %d with the update %d as %s', async (value, update, to, message) => {
  const columns = 9;
  const values = new Float32Array(2 * columns);
  values[13] = value;
  const own = { ...factors(2, columns, 1), scaling: 1 };
  own.A.fill(update);
  own.B.fill(1);
  const weight = { dtype: 'F32', rows: 2, columns, values } as const;
  const updates = [{ first: 0, update: lowRankRows(own) }];
  await expect(mergedBy(kernel, weight, { to, updates })).rejects.toThrow(message);
});

it('frees its tensors where one cannot be made', () => {
  const before = binding.getNumOfTensors();
  const form = { from: 'F32', to: 'F32', columns: 1 } as const;
  const update = { ranks: 4, stride: 8, A: new Float32Array(32) };
  let made = 0;
  const failing: TfBinding = {
    createTensor: (shape, dtype, data) => {
      if (++made === 6) throw new Error('no memory');
      return binding.createTensor(shape, dtype, data);
    },
    deleteTensor: (id) => binding.deleteTensor(id),
    tensorDataSync: (id) => binding.tensorDataSync(id),
    executeOp: (...args) => binding.executeOp(...args),
  } as TfBinding;
  // the first three are those of its trial
  const own = MergeKernel.load(failing)!;
  const rows = { stored: new Uint8Array(4), b: new Float64Array(4) };
  expect(() => own.use(update, form, (merge) => merge(rows))).toThrow('no memory');
  expect(binding.getNumOfTensors()).toBe(before);
});

it('leaves to JavaScript what is no product, has magnitudes, or is stored otherwise', async () => {
  const weight = { dtype: 'F32', rows: 2, columns: 3, values: numbers(6, 1, 1) } as const;
  const source = sourceOf(weight);
  const own = lowRankRows(factors(2, 3, 1));
  const byKernel = (update: typeof own, other: Partial<SourceTensor> = {}) =>
    kernelOf({ ...source, ...other }, new RowMerger([{ first: 0, update }], 3), {
      ...{ kernel, dtype: 'F32' },
    });
  expect(byKernel({ ...own, product: null })).toBeNull();
  expect(byKernel({ ...own, magnitude: Float32Array.of(1, 1) })).toBeNull();
  expect(byKernel(own, { dtype: 'F64' })).toBeNull();
  const used = byKernel(own)!;
  const blocks: ArrayBufferView[] = [];
  const refuse = () => Promise.reject(new Error('not by JavaScript'));
  for await (const block of kernelBlocks(used, new RoundingFacts(), refuse)) blocks.push(block);
  expect(blocks).toHaveLength(1);
});
