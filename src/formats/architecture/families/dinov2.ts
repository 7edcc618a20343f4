import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import {
  layerNorm,
  layerScale,
  linear,
  NO_NORMS,
  plainAttention,
  readActivation,
  readSizes,
  type Sizes,
} from '../sizes';
import type { LayerSpec, MlpSpec, PatchEmbeddingSpec, Spec } from '../spec';
import { heightAndWidth } from './vit';

function specOf(reader: ConfigReader, { task, num_labels }: SpecOptions): Spec {
  const sizes = readSizes(reader, 'images');
  const { hidden_size, num_layers } = sizes;
  return {
    family: 'dinov2',
    task,
    hidden_size,
    vocab_size: 0,
    num_layers,
    causal: false,
    embedding: embeddingOf(reader),
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(reader, sizes, i)),
    final_norm: layerNorm('dinov2.layernorm', hidden_size, epsOf(reader)),
    head: {
      kind: 'labels',
      pool: 'first_and_mean',
      dense: null,
      output: linear('classifier', 2 * hidden_size, num_labels, true),
    },
  };
}

const epsOf = (reader: ConfigReader): number => reader.positive('layer_norm_eps', 1e-6);

function embeddingOf(reader: ConfigReader): PatchEmbeddingSpec {
  const image_size = heightAndWidth(reader, 'image_size', 224);
  const patch_size = heightAndWidth(reader, 'patch_size', 14);
  const [height, width] = image_size;
  if (height !== width || patch_size[0] !== patch_size[1])
    throw reader.bad('image_size', 'must be square, and so must be patch_size');
  if (height % patch_size[0] !== 0)
    throw reader.bad('image_size', `${height} is not divisible by patch_size = ${patch_size[0]}`);
  return {
    kind: 'patches',
    path: 'dinov2.embeddings.patch_embeddings.projection',
    channels: reader.count('num_channels', 3),
    image_size,
    patch_size,
    bias: true,
    cls_token: 'dinov2.embeddings.cls_token',
    positions: 'dinov2.embeddings.position_embeddings',
    interpolates: true,
  };
}

function layerOf(
  reader: ConfigReader,
  { hidden_size, num_heads, head_dim }: Sizes,
  i: number,
): LayerSpec {
  const at = `dinov2.encoder.layer.${i}`;
  const inner = num_heads * head_dim;
  const bias = reader.flag('qkv_bias', true);
  const part = (name: string) => linear(`${at}.attention.${name}`, hidden_size, inner, bias);
  return {
    residual: 'sequential',
    attention: plainAttention(
      { num_heads, head_dim },
      {
        qkv: [part('q_proj'), part('k_proj'), part('v_proj')],
        o: linear(`${at}.attention.o_proj`, inner, hidden_size, true),
      },
    ),
    mlp: mlpOf(reader, hidden_size, `${at}.mlp`),
    norms: {
      ...NO_NORMS,
      attention_in: layerNorm(`${at}.norm1`, hidden_size, epsOf(reader)),
      mlp_in: layerNorm(`${at}.norm2`, hidden_size, epsOf(reader)),
      attention_out: layerScale(`${at}.layer_scale1`, 'lambda1', hidden_size),
      mlp_out: layerScale(`${at}.layer_scale2`, 'lambda1', hidden_size),
    },
  };
}

/** Of SwiGLU, two thirds of the width are kept, rounded up to a multiple of 8. */
function mlpOf(reader: ConfigReader, hidden_size: number, at: string): MlpSpec {
  const width = Math.trunc(hidden_size * reader.positive('mlp_ratio', 4));
  if (!reader.flag('use_swiglu_ffn'))
    return {
      kind: 'plain',
      activation: readActivation(reader, 'gelu'),
      up: linear(`${at}.fc1`, hidden_size, width, true),
      down: linear(`${at}.fc2`, width, hidden_size, true),
    };
  const kept = Math.ceil(Math.trunc((width * 2) / 3) / 8) * 8;
  return {
    kind: 'gated',
    activation: 'silu',
    gate: linear(`${at}.gate_proj`, hidden_size, kept, true),
    up: linear(`${at}.up_proj`, hidden_size, kept, true),
    down: linear(`${at}.down_proj`, kept, hidden_size, true),
  };
}

export const dinov2Families: Readonly<Record<string, Family>> = {
  dinov2: {
    tasks: ['image_cls'],
    spec: specOf,
    renames: [
      [/\.attention\.attention\.query\b/, '.attention.q_proj'],
      [/\.attention\.attention\.key\b/, '.attention.k_proj'],
      [/\.attention\.attention\.value\b/, '.attention.v_proj'],
      [/\.attention\.output\.dense\b/, '.attention.o_proj'],
      [/\.mlp\.weights_out\b/, '.mlp.down_proj'],
      [/^(?=(?:embeddings|encoder|layernorm)\.)/, 'dinov2.'],
    ],
    stacked: [{ stored: '.mlp.weights_in', modules: ['.mlp.gate_proj', '.mlp.up_proj'] }],
    transformersClass: 'Dinov2',
    mlx: false,
    gguf: null,
  },
};
