import type { GgufFamily } from '../../gguf/family';
import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { DECODER_TASKS, decoderHead } from '../heads';
import { layerNorm, NO_NORMS, readActivation, readSizes, type Sizes } from '../sizes';
import type { LayerSpec, LinearSpec, Spec } from '../spec';

function specOf(reader: ConfigReader, options: SpecOptions): Spec {
  const sizes = readSizes(reader);
  const eps = reader.positive('layer_norm_epsilon', 1e-5);
  const { hidden_size, vocab_size, num_layers } = sizes;
  return {
    family: 'gpt2',
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers,
    causal: true,
    embedding: {
      kind: 'tokens',
      tokens: { path: 'transformer.wte', rows: vocab_size },
      scale: 1,
      types: null,
      norm: null,
      positions: {
        path: 'transformer.wpe',
        rows: reader.count(['n_positions', 'max_position_embeddings'], 1024),
        offset: 0,
      },
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(reader, sizes, eps, i)),
    final_norm: layerNorm('transformer.ln_f', hidden_size, eps),
    head: decoderHead(reader, options, {
      hidden_size,
      vocab_size,
      tied_by_default: true,
      token_classifier: 'classifier',
    }),
  };
}

/** A linear layer whose weight is stored as [in, out]. */
const conv1d = (path: string, in_features: number, out_features: number): LinearSpec => ({
  path,
  in_features,
  out_features,
  bias: true,
  transposed: true,
});

function layerOf(
  reader: ConfigReader,
  { hidden_size, intermediate_size, num_heads, head_dim }: Sizes,
  eps: number,
  i: number,
): LayerSpec {
  const prefix = `transformer.h.${i}`;
  const root = reader.flag('scale_attn_weights', true) ? 1 / Math.sqrt(head_dim) : 1;
  return {
    residual: 'sequential',
    attention: {
      num_heads,
      num_kv_heads: num_heads,
      head_dim,
      layout: 'stacked',
      qkv: [conv1d(`${prefix}.attn.c_attn`, hidden_size, 3 * hidden_size)],
      o: conv1d(`${prefix}.attn.c_proj`, hidden_size, hidden_size),
      qk_norm: null,
      rope: null,
      window: null,
      softcap: null,
      scale: reader.flag('scale_attn_by_inverse_layer_idx') ? root / (i + 1) : root,
    },
    mlp: {
      kind: 'plain',
      activation: readActivation(reader, 'gelu_new'),
      up: conv1d(`${prefix}.mlp.c_fc`, hidden_size, intermediate_size),
      down: conv1d(`${prefix}.mlp.c_proj`, intermediate_size, hidden_size),
    },
    norms: {
      ...NO_NORMS,
      attention_in: layerNorm(`${prefix}.ln_1`, hidden_size, eps),
      mlp_in: layerNorm(`${prefix}.ln_2`, hidden_size, eps),
    },
  };
}

const gguf: GgufFamily = {
  arch: 'gpt2',
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
  partial_rotary: false,
  storage: (name) => (/\.c_(?:attn|proj|fc)\.weight$/.test(name) ? 'transposed' : 'plain'),
  config: (metadata) => ({
    activation_function: 'gelu_new',
    n_positions: metadata.number('gpt2.context_length'),
    layer_norm_epsilon: metadata.decimal('gpt2.attention.layer_norm_epsilon', 1e-5),
  }),
};

export const gpt2Families: Readonly<Record<string, Family>> = {
  gpt2: {
    tasks: DECODER_TASKS,
    spec: specOf,
    renames: [
      [/^(?:transformer\.)?h\.\d+\.attn\.(?:masked_)?bias$/, null],
      [/^(?=(?:wte|wpe|ln_f|h)\.)/, 'transformer.'],
    ],
    transformersClass: 'GPT2',
    taskClasses: { causal_lm: 'GPT2LMHeadModel' },
    mlx: true,
    gguf,
  },
};
