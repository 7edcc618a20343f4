import { fromBF16, fromF16, toBF16, toF16 } from '../../formats/floats';
import { dequantise } from '../../formats/gguf/dequantise';
import { toQ8_0 } from '../../formats/gguf/quantise';
import type { TensorToWrite } from '../../formats/safetensors/write';
import type { DType } from '../../formats/tensorInfo';
import { Merger } from '../../lora/merge';
import { throwIfCancelled } from '../../common/cancellation';
import type { OutputTensor } from './plan';
import { PART, type SourceTensor } from './source';

/** What a merge did to a tensor. */
export interface TensorFacts {
  readonly name: string;
  readonly dtype: DType;
  /** ‖s·BA‖ */
  readonly delta_norm: number;
  /** Largest difference between W + s·BA and what was stored. */
  readonly rounding_error: number;
  /** Elements that are the same after rounding although something was added. */
  readonly unmoved: number;
  readonly elements: number;
}

export interface StreamHooks {
  readonly onTensor: (facts: TensorFacts) => void;
  /** Bytes that were written. */
  readonly onBytes: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/** A tensor as it is written, part by part. */
export function streamed(
  { name, dtype, shape, change }: OutputTensor,
  hooks: StreamHooks,
): TensorToWrite {
  const parts = () => {
    switch (change.kind) {
      case 'copied':
        return change.bytes();
      case 'replaced':
        return convertedParts(inMemory(change.data), dtype);
      case 'converted':
        return convertedParts(rowsOf(change.source, change.source.shape.at(-1) ?? 1), dtype);
      case 'merged':
        return mergedParts(
          name,
          change.source,
          new Merger(change.factors, change.layout),
          dtype,
          hooks.onTensor,
        );
    }
  };
  return { name, dtype, shape, data: () => watched(parts(), hooks) };
}

async function* watched(
  parts: AsyncIterable<ArrayBufferView>,
  { onBytes, signal }: StreamHooks,
): AsyncGenerator<ArrayBufferView> {
  for await (const part of parts) {
    throwIfCancelled(signal);
    yield part;
    onBytes(part.byteLength);
  }
}

/** A tensor in f32, whole rows at a time. */
async function* rowsOf(
  { shape, read }: SourceTensor,
  columns: number,
): AsyncGenerator<Float32Array> {
  const size = shape.reduce((a, b) => a * b, 1);
  const step = Math.max(1, Math.floor(PART / 4 / columns)) * columns;
  for (let from = 0; from < size; from += step) yield await read(from, Math.min(step, size - from));
}

// eslint-disable-next-line @typescript-eslint/require-await -- a stream like the others
async function* inMemory(data: Float32Array): AsyncGenerator<Float32Array> {
  yield data;
}

async function* convertedParts(
  parts: AsyncIterable<Float32Array>,
  dtype: DType,
): AsyncGenerator<ArrayBufferView> {
  for await (const part of parts) yield narrowed(part, dtype);
}

async function* mergedParts(
  name: string,
  source: SourceTensor,
  merger: Merger,
  dtype: DType,
  onTensor: StreamHooks['onTensor'],
): AsyncGenerator<ArrayBufferView> {
  const { columns } = merger;
  let start = 0;
  if (merger.needsMeasure) {
    for await (const block of rowsOf(source, columns)) {
      merger.measure(block, start);
      start += block.length / columns;
    }
    start = 0;
  }
  let [square, rounding_error, unmoved, elements] = [0, 0, 0, 0];
  for await (const block of rowsOf(source, columns)) {
    const before = block.slice();
    const added = merger.merge(block, start);
    square += added.square;
    unmoved -= added.still;
    const stored = narrowed(block, dtype);
    const after = widened(stored, dtype);
    for (let i = 0; i < block.length; i++) {
      rounding_error = Math.max(rounding_error, Math.abs(after[i]! - block[i]!));
      if (after[i] === before[i]) unmoved++;
    }
    elements += block.length;
    start += block.length / columns;
    yield stored;
  }
  onTensor({
    name,
    dtype,
    delta_norm: Math.sqrt(square),
    rounding_error,
    unmoved: Math.max(0, unmoved),
    elements,
  });
}

function narrowed(values: Float32Array, dtype: DType): ArrayBufferView {
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

function widened(stored: ArrayBufferView, dtype: DType): ArrayLike<number> {
  switch (dtype) {
    case 'BF16':
      return fromBF16(stored as Uint16Array);
    case 'F16':
      return fromF16(stored as Uint16Array);
    case 'Q8_0': {
      const values = new Float32Array((stored.byteLength / 34) * 32);
      dequantise(dtype, stored as Uint8Array<ArrayBuffer>, values);
      return values;
    }
    default:
      return stored as Float32Array;
  }
}
