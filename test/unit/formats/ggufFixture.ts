import path from 'node:path';
import { openBase } from '../../../src/formats/base';
import { inverseFrequencies } from '../../../src/models/rope';
import type { TensorSpec, Value } from './ggufWriter';

const fixtures = path.resolve(import.meta.dirname, '../../fixtures');
const PARTS: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm', post_attention_layernorm: 'ffn_norm', 'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output', 'self_attn.q_norm': 'attn_q_norm', 'self_attn.k_norm': 'attn_k_norm', 'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down',
};

export interface GgufParts {
  readonly metadata: [string, Value][];
  readonly tensors: TensorSpec[];
}

/** A fixture's base as llama.cpp's converter writes it: its names, its metadata, q and k of the llama architecture with their rotary halves interleaved, Gemma's norms with their 1. */
export async function asGguf(family: string, arch: string): Promise<GgufParts> {
  const base = await openBase(path.join(fixtures, family, 'base'));
  const config = base.config as Record<string, number>;
  const tensors: TensorSpec[] = [];
  for (const { name, shape } of base.weights.tensors.values()) {
    const data = await base.weights.readF32(name);
    const heads = /self_attn\.q_proj/.test(name) ? config['num_attention_heads']! : /self_attn\.k_proj/.test(name) ? config['num_key_value_heads']! : 0;
    const shifted = arch === 'gemma' && name.endsWith('norm.weight') ? data.map((w) => w + 1) : data;
    tensors.push({ name: ggufName(name), shape, data: arch === 'llama' && heads > 0 ? interleave(data, heads, shape[0]!) : shifted });
  }
  await base.close();
  const head_dim = config['head_dim'] ?? config['hidden_size']! / config['num_attention_heads']!;
  const rope = base.spec.layers[0]!.attention.rope!;
  if (rope.scaling.kind === 'llama3') {
    const plain = inverseFrequencies({ ...rope, scaling: { kind: 'default' } }, 1);
    const scaled = inverseFrequencies(rope, 1);
    tensors.push({ name: 'rope_freqs.weight', shape: [head_dim / 2], data: plain.map((frequency, i) => frequency / scaled[i]!) });
  }
  const own: [string, Value][] = [
    ['block_count', { u32: config['num_hidden_layers']! }], ['context_length', { u32: config['max_position_embeddings']! }], ['embedding_length', { u32: config['hidden_size']! }],
    ['feed_forward_length', { u32: config['intermediate_size']! }], ['attention.head_count', { u32: config['num_attention_heads']! }],
    ['attention.head_count_kv', { u32: config['num_key_value_heads']! }], ['attention.layer_norm_rms_epsilon', { f32: config['rms_norm_eps']! }],
    ['rope.freq_base', { f32: rope.theta }], ['attention.key_length', { u32: head_dim }], ['rope.dimension_count', { u32: head_dim }],
  ];
  return { metadata: [['general.architecture', { text: arch }], ['general.name', { text: family }], ...own.map(([key, value]): [string, Value] => [`${arch}.${key}`, value])], tensors };
}

function ggufName(name: string): string {
  const top: Readonly<Record<string, string>> = { 'model.embed_tokens.weight': 'token_embd.weight', 'model.norm.weight': 'output_norm.weight', 'lm_head.weight': 'output.weight' };
  const [, layer, part, kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
  return top[name] ?? `blk.${layer}.${PARTS[part!]}.${kind}`;
}

/** convert_hf_to_gguf.py: reshape(heads, 2, half, width).swapaxes(1, 2). */
function interleave(data: Float32Array, heads: number, rows: number): Float32Array {
  const width = data.length / rows;
  const half = rows / heads / 2;
  const result: number[] = [];
  for (let h = 0; h < heads; h++) for (let i = 0; i < half; i++) for (const part of [0, 1]) {
    const row = (h * 2 + part) * half + i;
    result.push(...data.subarray(row * width, (row + 1) * width));
  }
  return Float32Array.from(result);
}
