/**
 * Puts GGUF files together for tests; independent of the reader. Type numbers: GGUF's
 * specification.
 */
export type Value =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly text: string }
  | { readonly texts: readonly string[] }
  | { readonly floats: readonly number[] }
  | { readonly ints: readonly number[] }
  | { readonly bools: readonly boolean[] };

export interface TensorSpec {
  readonly name: string;
  /** Outermost first, as in the checkpoint. */
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /** Its bytes in another type of ggml. Not given: the data as f32. */
  readonly stored?: { readonly type: number; readonly bytes: Uint8Array };
}

const u32 = (value: number) => {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(value);
  return b;
};
const i32 = (value: number) => {
  const b = Buffer.alloc(4);
  b.writeInt32LE(value);
  return b;
};
const f32 = (value: number) => {
  const b = Buffer.alloc(4);
  b.writeFloatLE(value);
  return b;
};
const u64 = (value: number) => {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(BigInt(value));
  return b;
};
const text = (value: string) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
const array = (type: number, items: readonly Buffer[]) =>
  Buffer.concat([u32(9), u32(type), u64(items.length), ...items]);

function valueBytes(value: Value): Buffer {
  if ('u32' in value) return Buffer.concat([u32(4), u32(value.u32)]);
  if ('f32' in value) return Buffer.concat([u32(6), f32(value.f32)]);
  if ('bool' in value) return Buffer.concat([u32(7), Buffer.from([value.bool ? 1 : 0])]);
  if ('text' in value) return Buffer.concat([u32(8), text(value.text)]);
  if ('texts' in value) return array(8, value.texts.map(text));
  if ('floats' in value) return array(6, value.floats.map(f32));
  if ('ints' in value) return array(5, value.ints.map(i32));
  return array(
    7,
    value.bools.map((one) => Buffer.from([one ? 1 : 0])),
  );
}

const padded = (bytes: Buffer) =>
  Buffer.concat([bytes, Buffer.alloc((32 - (bytes.length % 32)) % 32)]);

/** A tensor of a header: its type among those of ggml, and the bytes of its data. */
interface TensorEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: number;
  readonly bytes: number;
}

/** All before the data of a version 3 file; those of a tensor begin at a multiple of 32 bytes. */
export function ggufHead(
  metadata: readonly (readonly [string, Value])[],
  tensors: readonly TensorEntry[],
): Buffer {
  let offset = 0;
  const infos = tensors.map(({ name, shape, type, bytes }) => {
    const info = Buffer.concat([
      text(name),
      u32(shape.length),
      ...shape.toReversed().map(u64),
      u32(type),
      u64(offset),
    ]);
    offset += Math.ceil(bytes / 32) * 32;
    return info;
  });
  const head = [
    Buffer.from('GGUF'),
    u32(3),
    u64(tensors.length),
    u64(metadata.length),
    ...metadata.map(([key, value]) => Buffer.concat([text(key), valueBytes(value)])),
    ...infos,
  ];
  return padded(Buffer.concat(head));
}

/** A version 3 file. */
export function ggufBytes(
  metadata: readonly (readonly [string, Value])[],
  tensors: readonly TensorSpec[],
): Buffer {
  const entries = tensors.map(({ name, shape, data, stored }) => ({
    ...{ name, shape, type: stored?.type ?? 0 },
    bytes: (stored?.bytes ?? data).byteLength,
  }));
  return Buffer.concat([
    ggufHead(metadata, entries),
    ...tensors.map(({ data, stored }) => {
      const { buffer, byteOffset, byteLength } = stored?.bytes ?? data;
      return padded(Buffer.from(buffer, byteOffset, byteLength));
    }),
  ]);
}
