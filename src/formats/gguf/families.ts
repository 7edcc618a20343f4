import { LoraError } from '../../shared/errors';
import type { Metadata } from './metadata';

/**
 * How a checkpoint's tensor lies in a GGUF file. rotary: rows 2i and 2i + 1 of a head are i and
 * head_dim / 2 + i of the checkpoint. by_part: all heads' queries, then keys, then values, which
 * the checkpoint has head by head. transposed: as [out, in], which the checkpoint has as [in, out].
 * plus_one: norms that count from 1 there, from 0 in the checkpoint.
 */
export type Storage = 'plain' | 'rotary' | 'by_part' | 'transposed' | 'plus_one';

type Config = Readonly<Record<string, unknown>>;

/**
 * A GGUF architecture: what it is called in config.json, its tensors' names in the checkpoint, how
 * they are stored, and config keys of its own.
 */
export interface GgufFamily {
  readonly model_type: string;
  readonly top: ReadonlyMap<string, string>;
  /** Path of the layers, and what their parts are called. */
  readonly layers: string;
  readonly parts: ReadonlyMap<string, string>;
  readonly storage: (name: string) => Storage;
  readonly config: (metadata: Metadata, has: (tensor: string) => boolean) => Config;
}

const LLAMA_TOP = new Map([
  ['token_embd.weight', 'model.embed_tokens.weight'],
  ['output_norm.weight', 'model.norm.weight'],
  ['output.weight', 'lm_head.weight'],
]);
const LLAMA_PARTS: readonly (readonly [string, string])[] = [
  ['attn_norm', 'input_layernorm'],
  ['ffn_norm', 'post_attention_layernorm'],
  ['attn_q', 'self_attn.q_proj'],
  ['attn_k', 'self_attn.k_proj'],
  ['attn_v', 'self_attn.v_proj'],
  ['attn_output', 'self_attn.o_proj'],
  ['attn_q_norm', 'self_attn.q_norm'],
  ['attn_k_norm', 'self_attn.k_norm'],
  ['ffn_gate', 'mlp.gate_proj'],
  ['ffn_up', 'mlp.up_proj'],
  ['ffn_down', 'mlp.down_proj'],
];

/** Norms behind each branch. */
const OUTER_NORMS: readonly (readonly [string, string])[] = [
  ['post_attention_norm', 'post_attention_layernorm'],
  ['post_ffw_norm', 'post_feedforward_layernorm'],
];

const plain = (): Storage => 'plain';
const rotary = (name: string): Storage =>
  /self_attn\.[qk]_proj\./.test(name) ? 'rotary' : 'plain';
const plusOne = (name: string): Storage => (name.endsWith('norm.weight') ? 'plus_one' : 'plain');

const gated: GgufFamily['config'] = (_, has) => ({
  hidden_act: 'silu',
  attention_bias: has('blk.0.attn_q.bias'),
  mlp_bias: has('blk.0.ffn_gate.bias'),
});

function llamaLike(
  model_type: string,
  own: Partial<Omit<GgufFamily, 'model_type'>> = {},
): GgufFamily {
  return {
    model_type,
    top: LLAMA_TOP,
    layers: 'model.layers',
    parts: new Map(LLAMA_PARTS),
    storage: plain,
    config: gated,
    ...own,
  };
}

/**
 * The layers of Gemma's largest models, whose scores are scaled by hidden_size / heads instead of
 * head_dim: llama.cpp knows them by it, the file does not say.
 */
const WIDE_SCORES: Readonly<Record<string, number>> = { gemma2: 46, gemma3: 62 };
const GEMMA3_LOCAL_THETA = 10_000;

const gemma =
  (generation: 1 | 2 | 3): GgufFamily['config'] =>
  (metadata, has) => {
    const arch = metadata.string('general.architecture');
    const at = (key: string) => metadata.number(`${arch}.${key}`);
    const orNull = (key: string) => (metadata.has(`${arch}.${key}`) ? at(key) : null);
    const base = { ...gated(metadata, has), hidden_act: 'gelu_pytorch_tanh' };
    if (generation === 1) return base;
    const heads = at('attention.head_count');
    const isWide = at('block_count') === WIDE_SCORES[arch];
    const caps = {
      attn_logit_softcapping: orNull('attn_logit_softcapping'),
      final_logit_softcapping: orNull('final_logit_softcapping'),
    };
    const own = {
      ...base,
      ...caps,
      query_pre_attn_scalar: isWide ? at('embedding_length') / heads : at('attention.key_length'),
      sliding_window: at('attention.sliding_window'),
    };
    return generation === 2
      ? own
      : {
          ...own,
          rope_local_base_freq: metadata.number(`${arch}.rope.freq_base_swa`, GEMMA3_LOCAL_THETA),
          sliding_window_pattern: 6,
        };
  };

const GEMMA_2 = new Map([
  ...LLAMA_PARTS,
  ...OUTER_NORMS,
  ['ffn_norm', 'pre_feedforward_layernorm'],
]);

const phi3: GgufFamily['config'] = (metadata) => {
  const window = metadata.number('phi3.attention.sliding_window', 0); // 0 where there is none
  return { hidden_act: 'silu', sliding_window: window > 0 ? window : null };
};

const gpt2: GgufFamily = {
  model_type: 'gpt2',
  layers: 'transformer.h',
  top: new Map([
    ['token_embd.weight', 'transformer.wte.weight'],
    ['position_embd.weight', 'transformer.wpe.weight'],
    ['output_norm.weight', 'transformer.ln_f.weight'],
    ['output_norm.bias', 'transformer.ln_f.bias'],
    ['output.weight', 'lm_head.weight'],
  ]),
  parts: new Map([
    ['attn_norm', 'ln_1'],
    ['ffn_norm', 'ln_2'],
    ['attn_qkv', 'attn.c_attn'],
    ['attn_output', 'attn.c_proj'],
    ['ffn_up', 'mlp.c_fc'],
    ['ffn_down', 'mlp.c_proj'],
  ]),
  storage: (name) => (/\.c_(?:attn|proj|fc)\.weight$/.test(name) ? 'transposed' : 'plain'),
  config: (metadata) => ({
    activation_function: 'gelu_new',
    n_positions: metadata.number('gpt2.context_length'),
    layer_norm_epsilon: epsilon(metadata),
  }),
};

const gptNeox: GgufFamily = {
  model_type: 'gpt_neox',
  layers: 'gpt_neox.layers',
  top: new Map([
    ['token_embd.weight', 'gpt_neox.embed_in.weight'],
    ['output_norm.weight', 'gpt_neox.final_layer_norm.weight'],
    ['output_norm.bias', 'gpt_neox.final_layer_norm.bias'],
    ['output.weight', 'embed_out.weight'],
  ]),
  parts: new Map([
    ['attn_norm', 'input_layernorm'],
    ['ffn_norm', 'post_attention_layernorm'],
    ['attn_qkv', 'attention.query_key_value'],
    ['attn_output', 'attention.dense'],
    ['ffn_up', 'mlp.dense_h_to_4h'],
    ['ffn_down', 'mlp.dense_4h_to_h'],
  ]),
  storage: (name) => (name.includes('.query_key_value.') ? 'by_part' : 'plain'),
  config: (metadata, has) => ({
    hidden_act: 'gelu',
    layer_norm_eps: epsilon(metadata),
    use_parallel_residual: metadata.boolean('gptneox.use_parallel_residual', true),
    attention_bias: has('blk.0.attn_qkv.bias'),
  }),
};

const epsilon = (metadata: Metadata) =>
  shortest(
    metadata.number(
      `${metadata.string('general.architecture')}.attention.layer_norm_epsilon`,
      1e-5,
    ),
  );

/** GGUF stores 1e-5 as an f32: the decimal that was meant. */
export const shortest = (value: number) => Number(Math.fround(value).toPrecision(7));

/** GGUF architectures that are read. */
export const GGUF_FAMILIES: Readonly<Record<string, GgufFamily>> = {
  llama: llamaLike('llama', { storage: rotary }),
  qwen2: llamaLike('qwen2'),
  qwen3: llamaLike('qwen3'),
  gemma: llamaLike('gemma', { storage: plusOne, config: gemma(1) }),
  gemma2: llamaLike('gemma2', { storage: plusOne, config: gemma(2), parts: GEMMA_2 }),
  gemma3: llamaLike('gemma3_text', { storage: plusOne, config: gemma(3), parts: GEMMA_2 }),
  olmo2: llamaLike('olmo2', {
    parts: new Map([
      ...LLAMA_PARTS.filter(([, name]) => !name.endsWith('layernorm')),
      ...OUTER_NORMS,
    ]),
  }),
  smollm3: llamaLike('smollm3', { storage: rotary }),
  phi3: llamaLike('phi3', {
    config: phi3,
    parts: new Map([
      ...LLAMA_PARTS,
      ['attn_qkv', 'self_attn.qkv_proj'],
      ['ffn_up', 'mlp.gate_up_proj'],
    ]),
  }),
  gpt2,
  gptneox: gptNeox,
};

/** Errors: LoraError for an architecture that is not known. */
export function ggufFamilyOf(arch: string, file: string): GgufFamily {
  const family = Object.hasOwn(GGUF_FAMILIES, arch) ? GGUF_FAMILIES[arch] : undefined;
  if (family) return family;
  throw new LoraError(
    'base',
    `The architecture "${arch}" is not known. Known in GGUF files are: ${Object.keys(GGUF_FAMILIES).join(', ')}.`,
    { place: { file, key: 'general.architecture' } },
  );
}

/** general.architecture of a family; a Mistral is a Llama there. Undefined where it has none. */
export function ggufArchOf(family: string): string | undefined {
  const model_type = family === 'mistral' ? 'llama' : family;
  return Object.keys(GGUF_FAMILIES).find((arch) => GGUF_FAMILIES[arch]!.model_type === model_type);
}
