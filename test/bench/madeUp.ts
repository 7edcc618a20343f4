import { createRandom } from '../../src/shared/random';
import { toF16 } from '../../src/formats/floats';
import { ggufBytesOf, writeGguf, type GgufEntry } from '../../src/formats/gguf/write';
import type { DType } from '../../src/formats/tensorInfo';
import type { TensorToWrite } from '../../src/formats/tensorWriter';

/** Sizes of a Llama. */
export interface Geometry {
  readonly hidden: number;
  readonly inner: number;
  readonly layers: number;
  readonly heads: number;
  readonly kv_heads: number;
  readonly vocab: number;
  readonly tied: boolean;
}

/** The types of Q4_K_M (llama.cpp), by tensor, or Q4_K alone. */
export type Mix = 'Q4_K' | 'Q4_K_M';

/** Bytes of random blocks, of which all tensors consist. */
const POOL_BYTES = 16 << 20;

/** A block of a type: its bytes, and where its f16 scales are, with their values. */
const BLOCKS: Readonly<Record<string, readonly [bytes: number, ...(readonly [number, number])[]]>> =
  {
    // values scale · s · q - least · m with s, m in 0 .. 63 and q in 0 .. 15
    Q4_K: [144, [0, 1.4e-4], [2, 1.05e-3]],
    // values scale · s · (q - 32) with s in -128 .. 127
    Q6_K: [210, [208, 1.5e-5]],
  };

function randomBlocks(type: string): Uint8Array {
  const [size, ...scales] = BLOCKS[type]!;
  const random = createRandom(1, type);
  const count = Math.floor(POOL_BYTES / size);
  const words = new Uint32Array(Math.ceil((count * size) / 4));
  for (let i = 0; i < words.length; i++) words[i] = Math.floor(random() * 2 ** 32);
  const bytes = new Uint8Array(words.buffer, 0, count * size);
  for (const [at, value] of scales) {
    const half = new Uint16Array(1);
    toF16(Float32Array.of(value), half);
    for (let block = 0; block < count; block++) {
      bytes[block * size + at] = half[0]! & 0xff;
      bytes[block * size + at + 1] = half[0]! >> 8;
    }
  }
  return bytes;
}

/** The layers to which Q4_K_M gives more bits: `use_more_bits` of llama.cpp. */
const hasMoreBits = (layer: number, layers: number): boolean => {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
};

function tensorsOf({ hidden, inner, layers, heads, kv_heads, vocab, tied }: Geometry, mix: Mix) {
  const kv = (hidden / heads) * kv_heads;
  const tensors: (readonly [name: string, dtype: DType, ...shape: number[]])[] = [
    ['token_embd.weight', tied && mix === 'Q4_K_M' ? 'Q6_K' : 'Q4_K', vocab, hidden],
    ['output_norm.weight', 'F32', hidden],
  ];
  if (!tied) tensors.push(['output.weight', mix === 'Q4_K_M' ? 'Q6_K' : 'Q4_K', vocab, hidden]);
  for (let i = 0; i < layers; i++) {
    const more = mix === 'Q4_K_M' && hasMoreBits(i, layers) ? 'Q6_K' : 'Q4_K';
    const at = (name: string) => `blk.${i}.${name}.weight`;
    tensors.push(
      [at('attn_norm'), 'F32', hidden],
      [at('attn_q'), 'Q4_K', hidden, hidden],
      [at('attn_k'), 'Q4_K', kv, hidden],
      [at('attn_v'), more, kv, hidden],
      [at('attn_output'), 'Q4_K', hidden, hidden],
      [at('ffn_norm'), 'F32', hidden],
      [at('ffn_gate'), 'Q4_K', inner, hidden],
      [at('ffn_up'), 'Q4_K', inner, hidden],
      [at('ffn_down'), more, hidden, inner],
    );
  }
  return tensors;
}

function metadataOf({ hidden, inner, layers, heads, kv_heads, vocab }: Geometry): GgufEntry[] {
  const u32 = (key: string, value: number): GgufEntry => ({
    key: `llama.${key}`,
    type: 'u32',
    value,
  });
  const f32 = (key: string, value: number): GgufEntry => ({
    key: `llama.${key}`,
    type: 'f32',
    value,
  });
  return [
    { key: 'general.architecture', type: 'string', value: 'llama' },
    { key: 'general.name', type: 'string', value: 'made-up weights' },
    u32('context_length', 32_768),
    u32('embedding_length', hidden),
    u32('block_count', layers),
    u32('feed_forward_length', inner),
    u32('attention.head_count', heads),
    u32('attention.head_count_kv', kv_heads),
    u32('vocab_size', vocab),
    f32('attention.layer_norm_rms_epsilon', 1e-5),
    f32('rope.freq_base', 500_000),
  ];
}

/** Writes a model with random weights, in parts of 16 MB. */
export async function writeMadeUp(file: string, geometry: Geometry, mix: Mix): Promise<void> {
  const pools = new Map(Object.keys(BLOCKS).map((type) => [type, randomBlocks(type)]));
  const tensors = tensorsOf(geometry, mix).map(([name, dtype, ...shape]): TensorToWrite => {
    if (dtype === 'F32') return { name, dtype, shape, data: new Float32Array(shape[0]!).fill(1) };
    const pool = pools.get(dtype)!;
    const bytes = ggufBytesOf({ name, dtype, shape });
    return {
      name,
      dtype,
      shape,
      async *data() {
        for (let at = 0; at < bytes; at += pool.length)
          yield Promise.resolve(pool.subarray(0, Math.min(pool.length, bytes - at)));
      },
    };
  });
  await writeGguf(file, metadataOf(geometry), tensors);
}
