import { LoraError } from '../../shared/errors';
import type { Metadata } from './metadata';

/** GGUF architectures that are read -> model_type of config.json. */
const MODEL_TYPES: Readonly<Record<string, string>> = { llama: 'llama', qwen2: 'qwen2', qwen3: 'qwen3', gemma: 'gemma' };

interface Shapes {
  /** Whether the file has an output.weight of its own, biases on q, k, v, and rotary factors. */
  readonly has: (tensor: string) => boolean;
  readonly vocab_size: number;
  readonly rope_factors: Float32Array | null;
}

/** config.json as the original checkpoint would have it. Errors: LoraError('base'). */
export function configOf(metadata: Metadata, { has, vocab_size, rope_factors }: Shapes): Record<string, unknown> {
  const arch = metadata.string('general.architecture');
  const model_type = MODEL_TYPES[arch];
  if (model_type === undefined) {
    throw new LoraError('base', `The architecture "${arch}" is not known. Known in GGUF files are: ${Object.keys(MODEL_TYPES).join(', ')}.`, { place: { file: metadata.file, key: 'general.architecture' } });
  }
  const at = (key: string, missing?: number) => metadata.number(`${arch}.${key}`, missing);
  const refuse = (what: string, key: string) => new LoraError('base', `The model ${what}, which is not supported.`, { place: { file: metadata.file, key } });
  if (at('expert_count', 0) > 0) throw refuse('is a mixture of experts', `${arch}.expert_count`);
  const hidden_size = at('embedding_length');
  const num_attention_heads = at('attention.head_count');
  const rotary = at('rope.dimension_count', hidden_size / num_attention_heads);
  const head_dim = at('attention.key_length', rotary);
  if (rotary !== head_dim) throw refuse(`turns only ${rotary} of ${head_dim} dimensions of a head by position`, `${arch}.rope.dimension_count`);
  return {
    model_type,
    hidden_size,
    intermediate_size: at('feed_forward_length'),
    num_hidden_layers: at('block_count'),
    num_attention_heads,
    num_key_value_heads: at('attention.head_count_kv', num_attention_heads),
    head_dim,
    max_position_embeddings: at('context_length'),
    rms_norm_eps: shortest(at('attention.layer_norm_rms_epsilon', 1e-6)),
    rope_parameters: ropeParameters(metadata, arch, head_dim, rope_factors),
    hidden_act: model_type === 'gemma' ? 'gelu_pytorch_tanh' : 'silu',
    attention_bias: has('blk.0.attn_q.bias'),
    mlp_bias: has('blk.0.ffn_gate.bias'),
    tie_word_embeddings: !has('output.weight'),
    vocab_size,
  };
}

/** GGUF stores 1e-5 as an f32: the decimal that was meant. */
const shortest = (value: number) => Number(Math.fround(value).toPrecision(7));

function ropeParameters(metadata: Metadata, arch: string, head_dim: number, factors: Float32Array | null): Record<string, unknown> {
  const rope_theta = metadata.number(`${arch}.rope.freq_base`, 10_000);
  if (factors) return { rope_theta, ...llama3Of(factors, rope_theta, head_dim, metadata.file) };
  const older = metadata.number(`${arch}.rope.scale_linear`, 1);
  const rope_type = metadata.string(`${arch}.rope.scaling.type`, older === 1 ? 'none' : 'linear');
  if (rope_type === 'none') return { rope_theta, rope_type: 'default' };
  return { rope_theta, rope_type, factor: metadata.number(`${arch}.rope.scaling.factor`, older) };
}

/** llama3 rope scaling, of which llama.cpp stores only the divisors of the frequencies that follow from it (convert_hf_to_gguf.py). */
const LLAMA3 = { rope_type: 'llama3', low_freq_factor: 1, high_freq_factor: 4 } as const;
/** 8192 in Llama 3.1 and later; whichever gives the stored divisors gives the model's frequencies. */
const ORIGINAL_LENGTHS = [8192, ...Array.from({ length: 16 }, (_, i) => 2 ** (i + 4))];

function llama3Of(factors: Float32Array, rope_theta: number, head_dim: number, file: string): Record<string, unknown> {
  const factor = factors.reduce((a, b) => Math.max(a, b), 1);
  const original_max_position_embeddings = factors.length === head_dim / 2 ? ORIGINAL_LENGTHS.find((length) => gives(factors, rope_theta, factor, length)) : undefined;
  if (original_max_position_embeddings !== undefined) return { ...LLAMA3, factor, original_max_position_embeddings };
  throw new LoraError('base', 'The file has rotary factors of an unknown kind.', { place: { file, tensor: 'rope_freqs.weight' }, fix: 'Use the model\'s safetensors folder.' });
}

function gives(factors: Float32Array, rope_theta: number, factor: number, length: number): boolean {
  const { low_freq_factor: low, high_freq_factor: high } = LLAMA3;
  return factors.every((stored, i) => {
    const turns = (length * Math.pow(rope_theta, -i / factors.length)) / (2 * Math.PI);
    const smooth = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return Math.abs(stored - 1 / ((1 - smooth) / factor + smooth)) <= 1e-4 * stored;
  });
}
