import type { ConfigReader } from '../config';
import type { Family, SpecOptions } from '../family';
import { ENCODER_TASKS } from '../heads';
import { readRope } from '../rope';
import {
  layerNorm,
  linear,
  NO_NORMS,
  readActivation,
  readSizes,
  type Sizes,
  tokenTable,
} from '../sizes';
import { modernbertGguf } from './modernbertGguf';
import type { AttentionSpec, HeadSpec, LayerSpec, NormSpec, RopeSpec, Spec } from '../spec';

/** A model that is being described. */
interface ModernBertModel {
  readonly reader: ConfigReader;
  readonly sizes: Sizes;
  /** Path of the body within a model with a head. */
  readonly body: string;
}

function specOf(reader: ConfigReader, options: SpecOptions): Spec {
  const sizes = readSizes(reader);
  const body = options.task === 'embedding' ? '' : 'model.';
  const model: ModernBertModel = { reader, sizes, body };
  const { hidden_size, vocab_size, num_layers } = sizes;
  return {
    family: 'modernbert',
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers,
    causal: false,
    embedding: {
      kind: 'tokens',
      tokens: tokenTable(reader, `${body}embeddings.tok_embeddings`, vocab_size, 50_283),
      scale: 1,
      positions: null,
      types: null,
      norm: normOf(model, `${body}embeddings.norm`),
    },
    layers: Array.from({ length: num_layers }, (_, i) => layerOf(model, i)),
    final_norm: normOf(model, `${body}final_norm`),
    head: headOf(model, options),
  };
}

function normOf({ reader, sizes }: ModernBertModel, path: string): NormSpec {
  const norm = layerNorm(path, sizes.hidden_size, reader.positive('norm_eps', 1e-5));
  return reader.flag('norm_bias') ? norm : { ...norm, bias: false };
}

function headOf(model: ModernBertModel, { task, num_labels }: SpecOptions): HeadSpec {
  const { reader, sizes } = model;
  const { hidden_size } = sizes;
  if (task === 'embedding') return { kind: 'pooled', normalise: true };
  return {
    kind: 'labels',
    pool:
      task === 'token_cls'
        ? 'none'
        : reader.choice('classifier_pooling', { cls: 'first', mean: 'mean' } as const, 'cls'),
    dense: {
      linear: linear('head.dense', hidden_size, hidden_size, reader.flag('classifier_bias')),
      activation: readActivation(reader, 'gelu', ['classifier_activation']),
      norm: normOf(model, 'head.norm'),
    },
    output: linear('classifier', hidden_size, num_labels, true),
  };
}

function layerOf(model: ModernBertModel, i: number): LayerSpec {
  const { reader, sizes, body } = model;
  const { hidden_size, intermediate_size } = sizes;
  const at = `${body}layers.${i}`;
  const bias = reader.flag('mlp_bias');
  return {
    residual: 'sequential',
    attention: attentionOf(model, i),
    mlp: {
      kind: 'gated_fused',
      activation: readActivation(reader, 'gelu'),
      gate_up: linear(`${at}.mlp.Wi`, hidden_size, 2 * intermediate_size, bias),
      down: linear(`${at}.mlp.Wo`, intermediate_size, hidden_size, bias),
    },
    norms: {
      ...NO_NORMS,
      attention_in: i === 0 ? null : normOf(model, `${at}.attn_norm`), // that of the embeddings
      mlp_in: normOf(model, `${at}.mlp_norm`),
    },
  };
}

function attentionOf(model: ModernBertModel, i: number): AttentionSpec {
  const { reader, sizes, body } = model;
  const { hidden_size, num_heads, head_dim } = sizes;
  const at = `${body}layers.${i}.attn`;
  const bias = reader.flag('attention_bias');
  const isLocal = isLocalLayer(model, i);
  return {
    num_heads,
    num_kv_heads: num_heads,
    head_dim,
    layout: 'stacked',
    qkv: [linear(`${at}.Wqkv`, hidden_size, 3 * hidden_size, bias)],
    o: linear(`${at}.Wo`, hidden_size, hidden_size, bias),
    qk_norm: null,
    rope: ropeOf(model, isLocal),
    scale: 1 / Math.sqrt(head_dim),
    window: isLocal ? Math.floor(reader.count('local_attention', 128) / 2) + 1 : null,
    softcap: null,
  };
}

/** All layers but every third, from the first; older configs have the period. */
function isLocalLayer({ reader, sizes }: ModernBertModel, i: number): boolean {
  const types = reader.list('layer_types', sizes.num_layers);
  if (types) return types[i] === 'sliding_attention';
  return i % reader.count('global_attn_every_n_layers', 3) !== 0;
}

/** Older configs have two base frequencies instead of rope_parameters. */
function ropeOf({ reader, sizes: { head_dim } }: ModernBertModel, isLocal: boolean): RopeSpec {
  const kind = isLocal ? 'sliding_attention' : 'full_attention';
  const theta = isLocal
    ? reader.positive('local_rope_theta', 10_000)
    : reader.positive('global_rope_theta', 160_000);
  return readRope(reader, { head_dim, theta, kind });
}

export const modernbertFamilies: Readonly<Record<string, Family>> = {
  modernbert: {
    tasks: ENCODER_TASKS,
    spec: specOf,
    renames: [],
    transformersClass: 'ModernBert',
    mlx: false,
    gguf: modernbertGguf,
  },
};
