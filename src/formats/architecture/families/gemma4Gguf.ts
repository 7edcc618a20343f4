import { LoraError } from '../../../shared/errors';
import { LLAMA_PARTS, llamaLikeGguf, OUTPUT_NORM_PARTS, type GgufFamily } from '../../gguf/family';
import type { Metadata } from '../../gguf/metadata';
import { expertConfig } from './mixtures';

// Gemma 4 in GGUF files. Sizes differ between layers that see all tokens and those that do not.

const GEMMA4_PARTS: typeof LLAMA_PARTS = [
  ...LLAMA_PARTS,
  ...OUTPUT_NORM_PARTS,
  ['ffn_norm', 'pre_feedforward_layernorm'],
  ['inp_gate', 'per_layer_input_gate'],
  ['proj', 'per_layer_projection'],
  ['post_norm', 'post_per_layer_input_norm'],
  ['ffn_gate_inp', 'router.proj'],
  ['pre_ffw_norm_2', 'pre_feedforward_layernorm_2'],
  ['post_ffw_norm_1', 'post_feedforward_layernorm_1'],
  ['post_ffw_norm_2', 'post_feedforward_layernorm_2'],
  ['ffn_gate_up_exps', 'experts.gate_up_proj'],
  ['ffn_gate_exps', 'experts.gate_proj'],
  ['ffn_up_exps', 'experts.up_proj'],
  ['ffn_down_exps', 'experts.down_proj'],
];

const at4 = (metadata: Metadata, key: string): number => metadata.number(`gemma4.${key}`);

/** Heads' sizes, and which layers see all tokens. */
function gemma4Layers(metadata: Metadata, has: (tensor: string) => boolean) {
  const types = metadata
    .booleans('gemma4.attention.sliding_window_pattern')
    .map((isSliding): 'sliding_attention' | 'full_attention' =>
      isSliding ? 'sliding_attention' : 'full_attention',
    );
  const key = 'gemma4.attention.head_count_kv';
  const counts = metadata.isList(key) ? metadata.numbers(key) : null;
  const keyHeadsOf = (type: (typeof types)[number]) =>
    counts ? (counts[types.indexOf(type)] ?? counts[0]!) : metadata.number(key);
  const full = types.indexOf('full_attention');
  const isKey = full >= 0 && !has(`blk.${full}.attn_v.weight`);
  return {
    layer_types: types,
    head_dim: at4(metadata, 'attention.key_length_swa'),
    global_head_dim: at4(metadata, 'attention.key_length'),
    num_key_value_heads: keyHeadsOf('sliding_attention'),
    num_global_key_value_heads: keyHeadsOf('full_attention'),
    attention_k_eq_v: isKey,
  };
}

/** Of layers that see all tokens, pairs that do not rotate have divisors beyond all others. */
const STILL = 1e29;

function gemma4Rope(metadata: Metadata, freqs: Float32Array | null) {
  const size = at4(metadata, 'attention.key_length');
  if (freqs && freqs.length !== size / 2)
    throw new LoraError('base', `The file has ${freqs.length} RoPE factors, not ${size / 2}.`, {
      place: { file: metadata.file, tensor: 'rope_freqs.weight' },
    });
  for (const [key, wanted] of [
    ['rope.dimension_count', size],
    ['rope.dimension_count_swa', at4(metadata, 'attention.key_length_swa')],
  ] as const) {
    const found = metadata.number(`gemma4.${key}`, wanted);
    if (found === wanted) continue;
    throw new LoraError(
      'base',
      `The model rotates only ${found} of the ${wanted} dimensions of a head, which is not supported.`,
      { place: { file: metadata.file, key: `gemma4.${key}` } },
    );
  }
  const rotating = freqs ? freqs.filter((own) => own < STILL) : new Float32Array(size / 2).fill(1);
  if (rotating.some((own) => own !== 1))
    throw new LoraError('base', 'The file has RoPE factors of an unknown kind.', {
      place: { file: metadata.file, tensor: 'rope_freqs.weight' },
      fix: "Use the model's safetensors folder.",
    });
  return {
    full_attention: {
      rope_type: 'proportional',
      rope_theta: at4(metadata, 'rope.freq_base'),
      partial_rotary_factor: (2 * rotating.length) / size,
    },
    sliding_attention: {
      rope_type: 'default',
      rope_theta: at4(metadata, 'rope.freq_base_swa'),
    },
  };
}

function gemma4Config(
  metadata: Metadata,
  has: (tensor: string) => boolean,
  vocab_size: number,
): Readonly<Record<string, unknown>> {
  const inner = 'gemma4.feed_forward_length';
  const sizes = metadata.isList(inner) ? metadata.numbers(inner) : [];
  const softcap = 'gemma4.final_logit_softcapping';
  const isMixture = metadata.number('gemma4.expert_count', 0) > 0;
  const { num_experts_per_tok, ...experts } = isMixture ? expertConfig(metadata) : {};
  return {
    hidden_activation: 'gelu_pytorch_tanh',
    attention_bias: false,
    ...gemma4Layers(metadata, has),
    num_kv_shared_layers: metadata.number('gemma4.attention.shared_kv_layers', 0),
    use_double_wide_mlp: sizes.length > 0 && sizes.at(-1) !== sizes[0],
    vocab_size_per_layer_input: vocab_size,
    hidden_size_per_layer_input: metadata.number('gemma4.embedding_length_per_layer_input', 0),
    final_logit_softcapping: metadata.has(softcap) ? metadata.number(softcap) : null,
    sliding_window: at4(metadata, 'attention.sliding_window'),
    enable_moe_block: isMixture,
    ...experts,
    ...(isMixture && { top_k_experts: num_experts_per_tok }),
  };
}

/** llama.cpp multiplies an expert's output by its scale without what factors add to it. */
const UNAPPLIED =
  /\.(?:per_layer_model_projection|embed_tokens_per_layer|experts\.\d+\.down_proj)$/;

export const GEMMA4_GGUF: GgufFamily = llamaLikeGguf('gemma4', {
  model_type: 'gemma4_text',
  top: new Map([
    ['token_embd.weight', 'model.embed_tokens.weight'],
    ['output_norm.weight', 'model.norm.weight'],
    ['output.weight', 'lm_head.weight'],
    ['per_layer_token_embd.weight', 'model.embed_tokens_per_layer.weight'],
    ['per_layer_model_proj.weight', 'model.per_layer_model_projection.weight'],
    ['per_layer_proj_norm.weight', 'model.per_layer_projection_norm.weight'],
  ]),
  parts: new Map(GEMMA4_PARTS),
  tensors: new Map([
    ['layer_output_scale.weight', 'layer_scalar'],
    ['ffn_gate_inp.scale', 'router.scale'],
    ['ffn_down_exps.scale', 'router.per_expert_scale'],
  ]),
  experts: 'halves',
  unapplied: UNAPPLIED,
  whole_rope: gemma4Rope,
  config: gemma4Config,
});
