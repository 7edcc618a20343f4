import {
  closeSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { toQ8_0 } from '../../src/formats/gguf/quantise';
import { asGguf } from './ggufFixture';
import { ggufBytes, ggufHead, type TensorSpec, type Value } from './ggufWriter';

type Metadata = [string, Value][];

/** Numbers of ggml_type. */
const [Q8_0, Q2_K] = [8, 10];
/** Values and bytes of a block of Q2_K. */
const [BLOCK, BLOCK_BYTES] = [256, 84];

/** A byte-level BPE tokenizer of a folder as llama.cpp's converter writes it. */
export function bpeVocabulary(folder: string): Metadata {
  const read = (name: string) =>
    JSON.parse(readFileSync(path.join(folder, name), 'utf8')) as unknown;
  const { model, added_tokens } = read('tokenizer.json') as {
    model: { vocab: Readonly<Record<string, number>>; merges: readonly (readonly string[])[] };
    added_tokens: readonly { id: number }[];
  };
  const { chat_template } = read('tokenizer_config.json') as { chat_template: string };
  const special = new Set(added_tokens.map(({ id }) => id));
  const tokens = Object.entries(model.vocab).sort(([, a], [, b]) => a - b);
  const at = (token: string): Value => ({ u32: model.vocab[token]! });
  return [
    ['tokenizer.ggml.model', { text: 'gpt2' }],
    ['tokenizer.ggml.pre', { text: 'gpt-2' }],
    ['tokenizer.ggml.tokens', { texts: tokens.map(([token]) => token) }],
    ['tokenizer.ggml.token_type', { ints: tokens.map(([, id]) => (special.has(id) ? 3 : 1)) }],
    ['tokenizer.ggml.merges', { texts: model.merges.map((pair) => pair.join(' ')) }],
    ['tokenizer.ggml.bos_token_id', at('<|bos|>')],
    ['tokenizer.ggml.eos_token_id', at('<|im_end|>')],
    ['tokenizer.ggml.padding_token_id', at('<|pad|>')],
    ['tokenizer.chat_template', { text: chat_template }],
  ];
}

/** A Llama's folder as a .gguf base with its tokenizer, of which every matrix is in Q8_0. */
export async function writeQ8_0(file: string, folder: string): Promise<void> {
  const { metadata, tensors } = await asGguf(folder, 'llama');
  const stored = tensors.map((own): TensorSpec =>
    own.shape.length === 2
      ? { ...own, stored: { type: Q8_0, bytes: toQ8_0(Float32Array.from(own.data)) } }
      : own,
  );
  writeFileSync(file, ggufBytes([...metadata, ...bpeVocabulary(folder)], stored));
}

/** Sizes of a Llama whose matrices are whole blocks of Q2_K. */
const [WIDTH, INNER, HEADS] = [4096, 16_384, 32];

/**
 * A Llama of zeros in Q2_K, whose weights would take about so many bytes in bf16, with the
 * tokenizer of a folder. The file is sparse, so that it takes almost no disk space.
 *
 * @returns The bytes of the file.
 */
export function writeSparseLlama(file: string, folder: string, bf16Bytes: number): number {
  const ofLayer = 2 * (4 * WIDTH * WIDTH + 3 * WIDTH * INNER);
  const layers = Math.max(1, Math.round(bf16Bytes / ofLayer));
  const vocabulary = bpeVocabulary(folder);
  const rows = vocabulary.flatMap(([, value]) =>
    'texts' in value ? [value.texts.length] : [],
  )[0]!;
  const matrix = (name: string, out: number, width: number) => ({
    ...{ name, shape: [out, width], type: Q2_K },
    bytes: ((out * width) / BLOCK) * BLOCK_BYTES,
  });
  const norm = (name: string) => ({ name, shape: [WIDTH], type: 0, bytes: 4 * WIDTH });
  const tensors = [
    matrix('token_embd.weight', rows, WIDTH),
    norm('output_norm.weight'),
    ...Array.from({ length: layers }, (_, i) => [
      norm(`blk.${i}.attn_norm.weight`),
      ...['q', 'k', 'v', 'output'].map((part) =>
        matrix(`blk.${i}.attn_${part}.weight`, WIDTH, WIDTH),
      ),
      norm(`blk.${i}.ffn_norm.weight`),
      ...['gate', 'up'].map((part) => matrix(`blk.${i}.ffn_${part}.weight`, INNER, WIDTH)),
      matrix(`blk.${i}.ffn_down.weight`, WIDTH, INNER),
    ]).flat(),
  ];
  const head = ggufHead([...llamaMetadata(layers), ...vocabulary], tensors);
  const bytes = head.length + tensors.reduce((sum, own) => sum + own.bytes, 0);
  const handle = openSync(file, 'w');
  writeSync(handle, head);
  ftruncateSync(handle, bytes);
  closeSync(handle);
  return bytes;
}

const llamaMetadata = (layers: number): Metadata => [
  ['general.architecture', { text: 'llama' }],
  ['general.name', { text: 'zeros' }],
  ['llama.context_length', { u32: 64 }],
  ['llama.block_count', { u32: layers }],
  ['llama.embedding_length', { u32: WIDTH }],
  ['llama.feed_forward_length', { u32: INNER }],
  ['llama.attention.head_count', { u32: HEADS }],
  ['llama.attention.head_count_kv', { u32: HEADS }],
  ['llama.attention.layer_norm_rms_epsilon', { f32: 1e-6 }],
  ['llama.rope.freq_base', { f32: 10_000 }],
];
