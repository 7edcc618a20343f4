import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import {
  layerNorm,
  linear,
  NO_NORMS,
  plainAttention,
  readActivation,
  readSizes,
  type Sizes,
} from '../sizes';
import type { LayerSpec, Spec } from '../spec';

function specOf(reader: ConfigReader, { task, num_labels }: SpecOptions): Spec {
  const sizes = readSizes(reader, 'images');
  const { hidden_size, num_layers } = sizes;
  return {
    family: 'vit',
    task,
    hidden_size,
    vocab_size: 0,
    num_layers,
    causal: false,
    embedding: {
      kind: 'patches',
      path: 'vit.embeddings.patch_embeddings.projection',
      channels: reader.count('num_channels', 3),
      image_size: heightAndWidth(reader, 'image_size', 224),
      patch_size: heightAndWidth(reader, 'patch_size', 16),
      bias: true,
      cls_token: 'vit.embeddings.cls_token',
      positions: 'vit.embeddings.position_embeddings',
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(reader, sizes, i)),
    final_norm: layerNorm('vit.layernorm', hidden_size, reader.positive('layer_norm_eps', 1e-12)),
    head: {
      kind: 'labels',
      pool: 'first',
      dense: null,
      output: linear('classifier', hidden_size, num_labels, true),
    },
  };
}

/** Height and width in pixels: a config has both, or one number for both. */
export function heightAndWidth(
  reader: ConfigReader,
  key: string,
  missing: number,
): readonly [number, number] {
  const value = reader.raw(key) ?? missing;
  const both = Array.isArray(value) ? (value as unknown[]) : [value, value];
  const [height, width] = both;
  if (
    both.length === 2 &&
    typeof height === 'number' &&
    typeof width === 'number' &&
    [height, width].every((n) => Number.isInteger(n) && n > 0 && n <= 65_536)
  )
    return [height, width];
  throw reader.bad(
    key,
    `must be a whole number of pixels, or height and width, not ${JSON.stringify(value)}`,
  );
}

function layerOf(
  reader: ConfigReader,
  { hidden_size, intermediate_size, num_heads, head_dim }: Sizes,
  i: number,
): LayerSpec {
  const prefix = `vit.layers.${i}`;
  const eps = reader.positive('layer_norm_eps', 1e-12);
  const part = (name: string) =>
    linear(`${prefix}.attention.${name}`, hidden_size, hidden_size, reader.flag('qkv_bias', true));
  return {
    residual: 'sequential',
    attention: plainAttention(
      { num_heads, head_dim },
      {
        qkv: [part('q_proj'), part('k_proj'), part('v_proj')],
        o: linear(`${prefix}.attention.o_proj`, hidden_size, hidden_size, true),
      },
    ),
    mlp: {
      kind: 'plain',
      activation: readActivation(reader, 'gelu'),
      up: linear(`${prefix}.mlp.fc1`, hidden_size, intermediate_size, true),
      down: linear(`${prefix}.mlp.fc2`, intermediate_size, hidden_size, true),
    },
    norms: {
      ...NO_NORMS,
      attention_in: layerNorm(`${prefix}.layernorm_before`, hidden_size, eps),
      mlp_in: layerNorm(`${prefix}.layernorm_after`, hidden_size, eps),
    },
  };
}

export const vitFamilies: Readonly<Record<string, Family>> = {
  vit: {
    tasks: ['image_cls'],
    spec: specOf,
    renames: [
      [/\bencoder\.layer\.(?=\d)/, 'layers.'],
      [/\.attention\.attention\.query\b/, '.attention.q_proj'],
      [/\.attention\.attention\.key\b/, '.attention.k_proj'],
      [/\.attention\.attention\.value\b/, '.attention.v_proj'],
      [/\.attention\.output\.dense\b/, '.attention.o_proj'],
      [/\.intermediate\.dense\b/, '.mlp.fc1'],
      [/(?<=layers\.\d+)\.output\.dense\b/, '.mlp.fc2'],
      [/^(?=(?:embeddings|layers|layernorm)\.)/, 'vit.'],
    ],
    transformersClass: 'ViT',
    mlx: false,
    gguf: null,
  },
};
