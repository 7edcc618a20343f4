import { throwIfCancelled } from '../../common/cancellation';
import { fromBF16, fromF16, toBF16, toF16 } from '../../formats/floats';
import { dequantise } from '../../formats/gguf/dequantise';
import { areFinite } from '../../formats/checkFinite';
import { toQ8_0 } from '../../formats/gguf/quantise';
import type { TensorToWrite } from '../../formats/tensorWriter';
import type { DType } from '../../formats/tensorInfo';
import type { TensorMerger } from '../../lora/merge';
import type { MergeKernel } from '../../models/ops/mergeKernel';
import { LoraError, type Place } from '../../shared/errors';
import type { Change, OutputTensor } from './plan';
import { kernelBlocks, kernelOf } from './kernelRows';
import { RoundingFacts, type TensorFacts } from './roundingFacts';
import { PART_BYTES, partOf, type SourceTensor } from './source';
import { firstNotFinite } from './storedNumbers';

/** The callbacks while tensors are written. */
export interface StreamHooks {
  /** Called for each merged tensor. */
  readonly onTensor: (facts: TensorFacts) => void;
  /** Called with the number of bytes written. */
  readonly onBytes: (bytes: number) => void;
  readonly signal: AbortSignal;
  /** The model that is read, for messages. */
  readonly file: string;
  /** Adds products to rows; null or missing: JavaScript does. */
  readonly kernel?: MergeKernel | null;
}

/** A tensor that is computed part by part while it is written. */
export function streamTensor(tensor: OutputTensor, hooks: StreamHooks): TensorToWrite {
  const { name, dtype, shape, change } = tensor;
  const place = { file: hooks.file, tensor: name };
  const parts = () => {
    switch (change.kind) {
      case 'copied':
        return copiedParts(place, tensor.dtype, change);
      case 'replaced':
        return [checkedNarrow(change.data, dtype, place)];
      case 'converted':
        return convertedParts(change, dtype, place);
      case 'merged':
        return mergedParts(tensor, [change], { ...hooks, place });
      case 'experts':
        return mergedParts(tensor, expertsOf(change), { ...hooks, place });
      case 'tokens':
        return tokenParts(change, dtype, place);
    }
  };
  return { name, dtype, shape, data: () => withHooks(parts(), hooks) };
}

async function* withHooks(
  parts: AsyncIterable<ArrayBufferView> | Iterable<ArrayBufferView>,
  { onBytes, signal }: StreamHooks,
): AsyncGenerator<ArrayBufferView> {
  for await (const part of parts) {
    throwIfCancelled(signal);
    yield part;
    onBytes(part.byteLength);
  }
}

/** Blocks of whole rows, as f32. */
async function* rowBlocks(
  { shape, read }: SourceTensor,
  columns: number,
): AsyncGenerator<Float32Array> {
  const size = shape.reduce((a, b) => a * b, 1);
  const rowsPerBlock = Math.max(1, Math.floor(PART_BYTES / 4 / columns));
  const step = rowsPerBlock * columns;
  for (let from = 0; from < size; from += step) {
    yield await read(from, Math.min(step, size - from));
  }
}

async function* convertedParts(
  { source, ignored }: Extract<Change, { kind: 'converted' }>,
  dtype: DType,
  place: Place,
): AsyncGenerator<ArrayBufferView> {
  for await (const block of rowBlocks(source, source.shape.at(-1) ?? 1)) {
    if (ignored) {
      yield narrow(block, dtype);
      continue;
    }
    checkBase(block, place);
    yield checkedNarrow(block, dtype, place);
  }
}

async function* tokenParts(
  { source, rows }: Extract<Change, { kind: 'tokens' }>,
  dtype: DType,
  place: Place,
): AsyncGenerator<ArrayBufferView> {
  const columns = source.shape.at(-1)!;
  let first = 0;
  for await (const block of rowBlocks(source, columns)) {
    checkBase(block, place);
    const count = block.length / columns;
    for (const [row, numbers] of rows) {
      if (row >= first && row < first + count) block.set(numbers, (row - first) * columns);
    }
    first += count;
    yield checkedNarrow(block, dtype, place);
  }
}

async function* copiedParts(
  place: Place,
  dtype: DType,
  { bytes, ignored }: Extract<Change, { kind: 'copied' }>,
): AsyncGenerator<Uint8Array> {
  for await (const part of bytes()) {
    const value = ignored ? undefined : firstNotFinite(part, dtype);
    if (value !== undefined) {
      throw baseIsNotFinite(String(value), place);
    }
    yield part;
  }
}

/** @throws LoraError('base') when a number of the base is not finite. */
function checkBase(block: Float32Array, place: Place): void {
  const value = areFinite(block) ? undefined : block.find((x) => !Number.isFinite(x));
  if (value !== undefined) {
    throw baseIsNotFinite(String(value), place);
  }
}

const baseIsNotFinite = (value: string, place: Place): LoraError =>
  new LoraError('base', `The tensor of the base holds ${value}.`, {
    place,
    fix: 'Download the base again, or use another one.',
  });

/**
 * The numbers as the dtype stores them.
 *
 * @throws LoraError when it cannot hold them.
 */
function checkedNarrow(values: Float32Array, dtype: DType, place: Place): ArrayBufferView {
  const stored = narrow(values, dtype);
  checkStored(values, { stored: widen(stored, dtype), dtype, place });
  return stored;
}

interface StoredNumbers {
  readonly stored: ArrayLike<number>;
  readonly dtype: DType;
  readonly place: Place;
}

/** @throws LoraError when a number is not finite, or no longer is as it is stored. */
function checkStored(exact: Float32Array, { stored, dtype, place }: StoredNumbers): void {
  for (let i = 0; i < stored.length; i++) {
    if (Number.isFinite(stored[i]!)) {
      continue;
    }
    const value = exact[i]!;
    throw Number.isFinite(value)
      ? new LoraError('adapter', `The result holds ${value}, which ${dtype} cannot store.`, {
          place,
          fix: 'Choose a data type with a larger range, such as float32 (--dtype).',
        })
      : new LoraError('adapter', `The result would hold ${value}: the update is too large.`, {
          place,
          fix: 'Check the adapter and its scale.',
        });
  }
}

/** Some or all of a tensor of the base, which stays as it is without a merger. */
interface Merged {
  readonly source: SourceTensor;
  readonly merger: (() => TensorMerger) | null;
}

function expertsOf({ source, parts }: Extract<Change, { kind: 'experts' }>): Merged[] {
  const size = source.shape.reduce((a, b) => a * b, 1) / parts.length;
  return parts.map((merger, i) => ({
    merger,
    source: partOf(source, i * size, size),
  }));
}

async function* mergedParts(
  tensor: OutputTensor,
  parts: readonly Merged[],
  {
    onTensor,
    place,
    kernel = null,
  }: Pick<StreamHooks, 'onTensor' | 'kernel'> & { readonly place: Place },
): AsyncGenerator<ArrayBufferView> {
  const { name, dtype } = tensor;
  const facts = new RoundingFacts();
  for (const { source, merger } of parts) {
    if (merger) yield* mergedPart(source, merger(), { dtype, place, facts, kernel });
    else yield* unchangedPart(source, { dtype, place, facts, kernel });
  }
  onTensor({ name, dtype, ...facts.result() });
}

interface PartHooks {
  readonly dtype: DType;
  readonly place: Place;
  readonly facts: RoundingFacts;
  readonly kernel: MergeKernel | null;
}

async function* mergedPart(
  source: SourceTensor,
  merger: TensorMerger,
  hooks: PartHooks,
): AsyncGenerator<ArrayBufferView> {
  const { columns } = merger;
  const byKernel = kernelOf(source, merger, hooks);
  if (byKernel) {
    yield* kernelBlocks(byKernel, hooks.facts, async (row, count) => {
      const block = await source.read(row * columns, count * columns);
      return mergedBlock(block, row, merger, hooks);
    });
    return;
  }
  if (merger.needsMeasure) {
    await measureRows(merger, source);
  }
  let row = 0;
  for await (const block of rowBlocks(source, columns)) {
    yield mergedBlock(block, row, merger, hooks);
    row += block.length / columns;
  }
}

/** Rows of a weight from the row `row` on, merged and as they are stored. */
function mergedBlock(
  block: Float32Array,
  row: number,
  merger: TensorMerger,
  { dtype, place, facts }: PartHooks,
): ArrayBufferView {
  checkBase(block, place);
  const before = block.slice();
  const { square, still } = merger.merge(block, row);
  const stored = narrow(block, dtype);
  const widened = widen(stored, dtype);
  checkStored(block, { stored: widened, dtype, place });
  facts.add({ before, exact: block, stored: widened });
  facts.addUpdate(square, still);
  return stored;
}

async function* unchangedPart(
  source: SourceTensor,
  { dtype, place, facts }: PartHooks,
): AsyncGenerator<ArrayBufferView> {
  for await (const block of rowBlocks(source, 1)) {
    checkBase(block, place);
    const stored = checkedNarrow(block, dtype, place);
    facts.add({ before: block, exact: block, stored: widen(stored, dtype) });
    facts.addUpdate(0, block.length);
    yield stored;
  }
}

async function measureRows(merger: TensorMerger, source: SourceTensor): Promise<void> {
  let row = 0;
  for await (const block of rowBlocks(source, merger.columns)) {
    merger.measure(block, row);
    row += block.length / merger.columns;
  }
}

/** f32 numbers as the dtype stores them. */
function narrow(values: Float32Array, dtype: DType): ArrayBufferView {
  switch (dtype) {
    case 'BF16':
      return toBF16(values);
    case 'F16':
      return toF16(values);
    case 'Q8_0':
      return toQ8_0(values);
    case 'F64':
      return Float64Array.from(values);
    default:
      return values;
  }
}

const Q8_0_BLOCK_BYTES = 34;
const Q8_0_BLOCK_LENGTH = 32;

/** The numbers that were stored. */
function widen(stored: ArrayBufferView, dtype: DType): ArrayLike<number> {
  switch (dtype) {
    case 'BF16':
      return fromBF16(stored as Uint16Array);
    case 'F16':
      return fromF16(stored as Uint16Array);
    case 'Q8_0': {
      const blocks = stored.byteLength / Q8_0_BLOCK_BYTES;
      const values = new Float32Array(blocks * Q8_0_BLOCK_LENGTH);
      dequantise(dtype, stored as Uint8Array<ArrayBuffer>, values);
      return values;
    }
    default:
      return stored as Float32Array;
  }
}
