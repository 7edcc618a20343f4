import { LLAMA_PARTS, llamaLikeGguf, type GgufFamily } from '../../gguf/family';
import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { DECODER_TASKS, decoderHead } from '../heads';
import { readRope } from '../rope';
import {
  linear,
  NO_NORMS,
  readActivation,
  readSizes,
  rmsNorm,
  type Sizes,
  tokenTable,
} from '../sizes';
import type { LayerSpec, Spec } from '../spec';

function specOf(reader: ConfigReader, options: SpecOptions): Spec {
  const sizes = readSizes(reader);
  const eps = reader.positive('rms_norm_eps', 1e-5);
  const { hidden_size, vocab_size, num_layers } = sizes;
  return {
    family: 'phi3',
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers,
    causal: true,
    embedding: {
      kind: 'tokens',
      tokens: tokenTable(reader, 'model.embed_tokens', vocab_size, 32_000),
      scale: 1,
      positions: null,
      types: null,
      norm: null,
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(reader, sizes, eps, i)),
    final_norm: rmsNorm('model.norm', hidden_size, eps),
    head: decoderHead(reader, options, { hidden_size, vocab_size }),
  };
}

function layerOf(
  reader: ConfigReader,
  { hidden_size, intermediate_size, num_heads, num_kv_heads, head_dim }: Sizes,
  eps: number,
  i: number,
): LayerSpec {
  const prefix = `model.layers.${i}`;
  return {
    residual: 'sequential',
    attention: {
      num_heads,
      num_kv_heads,
      head_dim,
      layout: 'stacked',
      qkv: [
        linear(
          `${prefix}.self_attn.qkv_proj`,
          hidden_size,
          (num_heads + 2 * num_kv_heads) * head_dim,
        ),
      ],
      o: linear(`${prefix}.self_attn.o_proj`, num_heads * head_dim, hidden_size),
      qk_norm: null,
      rope: readRope(reader, { head_dim, partial: 1 }),
      scale: 1 / Math.sqrt(head_dim),
      window: reader.raw('sliding_window') === undefined ? null : reader.count('sliding_window'),
      softcap: null,
    },
    mlp: {
      kind: 'gated_fused',
      activation: readActivation(reader, 'silu'),
      gate_up: linear(`${prefix}.mlp.gate_up_proj`, hidden_size, 2 * intermediate_size),
      down: linear(`${prefix}.mlp.down_proj`, intermediate_size, hidden_size),
    },
    norms: {
      ...NO_NORMS,
      attention_in: rmsNorm(`${prefix}.input_layernorm`, hidden_size, eps),
      mlp_in: rmsNorm(`${prefix}.post_attention_layernorm`, hidden_size, eps),
    },
  };
}

const ggufConfig: GgufFamily['config'] = (metadata) => {
  const window = metadata.number('phi3.attention.sliding_window', 0); // 0: none
  return { hidden_act: 'silu', sliding_window: window > 0 ? window : null };
};

export const phi3Families: Readonly<Record<string, Family>> = {
  phi3: {
    tasks: DECODER_TASKS,
    spec: specOf,
    renames: [],
    transformersClass: 'Phi3',
    mlx: true,
    gguf: llamaLikeGguf('phi3', {
      partial_rotary: true,
      config: ggufConfig,
      parts: new Map([
        ...LLAMA_PARTS,
        ['attn_qkv', 'self_attn.qkv_proj'],
        ['ffn_up', 'mlp.gate_up_proj'],
      ]),
    }),
  },
};
