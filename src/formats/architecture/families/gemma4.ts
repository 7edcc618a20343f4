import { isObject } from '../../../shared/values';
import { ConfigReader, type Config } from '../config';
import type { Family, SpecOptions } from '../family';
import { decoderHead } from '../heads';
import { readRope } from '../rope';
import { GEMMA4_GGUF } from './gemma4Gguf';
import { countExperts, plainExperts } from './mixtures';
import {
  linear,
  NO_NORMS,
  readActivation,
  readSizes,
  rmsNorm,
  type Sizes,
  tokenTable,
} from '../sizes';
import type {
  Activation,
  AttentionSpec,
  LayerNorms,
  LayerSpec,
  MixtureSpec,
  MlpSpec,
  PerLayerBranchSpec,
  PerLayerSpec,
  RopeSpec,
  Spec,
} from '../spec';

type LayerType = 'sliding_attention' | 'full_attention';

/** Every sixth layer sees all tokens, where the config does not say. */
const FULL_EVERY = 6;
const GLOBAL_HEAD_DIM = 512;

/** The default rope_parameters. */
const ROPE: Readonly<Record<LayerType, Readonly<Record<string, unknown>>>> = {
  sliding_attention: { rope_type: 'default', rope_theta: 10_000 },
  full_attention: {
    rope_type: 'proportional',
    partial_rotary_factor: 0.25,
    rope_theta: 1_000_000,
  },
};

/** A model that is being described. */
interface Gemma4Model {
  readonly reader: ConfigReader;
  readonly sizes: Sizes;
  readonly eps: number;
  readonly activation: Activation;
  readonly types: readonly LayerType[];
  /** Layers from this one on use the keys and values of others. */
  readonly first_shared: number;
  /** Width of a token's vector for each layer; 0: none. */
  readonly per_layer: number;
}

function modelOf(reader: ConfigReader): Gemma4Model {
  if (reader.raw('use_bidirectional_attention') === 'all')
    throw reader.bad('use_bidirectional_attention', 'is "all", which is not supported');
  const sizes = readSizes(reader, 'tokens', 256);
  const { num_layers } = sizes;
  const shared = reader.count('num_kv_shared_layers', 0, num_layers - 1, 0);
  return {
    reader,
    sizes,
    eps: reader.positive('rms_norm_eps', 1e-6),
    activation: readActivation(reader, 'gelu_pytorch_tanh', ['hidden_activation']),
    types: layerTypes(reader, num_layers),
    first_shared: num_layers - shared,
    per_layer: reader.count('hidden_size_per_layer_input', 256, undefined, 0),
  };
}

/** The last layer sees all tokens, whatever the config says. */
function layerTypes(reader: ConfigReader, num_layers: number): LayerType[] {
  const given = reader.list('layer_types', num_layers);
  return Array.from({ length: num_layers }, (_, i) => {
    const isFull = given ? given[i] === 'full_attention' : (i + 1) % FULL_EVERY === 0;
    return isFull || i === num_layers - 1 ? 'full_attention' : 'sliding_attention';
  });
}

function specOf(reader: ConfigReader, options: SpecOptions): Spec {
  const model = modelOf(reader);
  const { hidden_size, vocab_size, num_layers } = model.sizes;
  const softcap = reader.positiveOrNull('final_logit_softcapping');
  const layers = Array.from({ length: num_layers }, (_, i) => layerOf(model, i));
  return {
    family: String(reader.config['model_type']),
    task: options.task,
    hidden_size,
    vocab_size,
    num_layers,
    causal: true,
    embedding: {
      kind: 'tokens',
      tokens: tokenTable(reader, 'model.embed_tokens', vocab_size, 0),
      scale: Math.sqrt(hidden_size),
      positions: null,
      types: null,
      norm: null,
      ...(model.per_layer > 0 && { per_layer: perLayerOf(model) }),
    },
    layers,
    final_norm: rmsNorm('model.norm', hidden_size, model.eps),
    head: decoderHead(reader, options, {
      hidden_size,
      vocab_size,
      softcap,
      tied_by_default: true,
    }),
    unused_modules: layers.flatMap(({ attention }, i) => unusedModules(attention, i)),
  };
}

/** Layers that use the keys and values of others have projections of their own in some files. */
const unusedModules = ({ keys_of }: AttentionSpec, i: number): string[] =>
  keys_of === undefined
    ? []
    : ['k_proj', 'v_proj', 'k_norm', 'v_norm'].map((own) => `model.layers.${i}.self_attn.${own}`);

function perLayerOf({ reader, sizes, eps, per_layer: width }: Gemma4Model): PerLayerSpec {
  const { hidden_size, vocab_size, num_layers } = sizes;
  return {
    table: tokenTable(
      reader,
      'model.embed_tokens_per_layer',
      reader.count('vocab_size_per_layer_input', vocab_size),
      0,
    ),
    width,
    scale: Math.sqrt(width),
    projection: linear('model.per_layer_model_projection', hidden_size, num_layers * width),
    projection_scale: 1 / Math.sqrt(hidden_size),
    norm: rmsNorm('model.per_layer_projection_norm', width, eps),
  };
}

function layerOf(model: Gemma4Model, i: number): LayerSpec {
  return {
    residual: 'sequential',
    attention: attentionOf(model, i),
    mlp: mlpOf(model, i),
    norms: normsOf(model, i),
    output_factor: `model.layers.${i}.layer_scalar`,
    ...(model.per_layer > 0 && { per_layer: branchOf(model, i) }),
  };
}

function branchOf(model: Gemma4Model, i: number): PerLayerBranchSpec {
  const { sizes, eps, activation, per_layer: width } = model;
  const { hidden_size } = sizes;
  const prefix = `model.layers.${i}`;
  return {
    activation,
    gate: linear(`${prefix}.per_layer_input_gate`, hidden_size, width),
    projection: linear(`${prefix}.per_layer_projection`, width, hidden_size),
    norm: rmsNorm(`${prefix}.post_per_layer_input_norm`, hidden_size, eps),
  };
}

function mlpOf(model: Gemma4Model, i: number): MlpSpec {
  const dense = denseOf(model, i);
  return model.reader.flag('enable_moe_block') ? mixtureOf(model, i, dense) : dense;
}

/** Experts beside the MLP. Their router reads the layer's stream through a norm of its own. */
function mixtureOf(model: Gemma4Model, i: number, mlp: DenseMlp): MixtureSpec {
  const { reader, sizes, eps, activation } = model;
  const { hidden_size, num_layers } = sizes;
  const prefix = `model.layers.${i}`;
  const module = `${prefix}.experts`;
  const norm = (name: string) => rmsNorm(`${prefix}.${name}`, hidden_size, eps);
  const count = countExperts(reader, num_layers);
  const inner = reader.count('moe_intermediate_size');
  return {
    kind: 'mixture',
    activation,
    router: linear(`${prefix}.router.proj`, hidden_size, count),
    router_is_layer: true,
    router_norm: { ...norm('router'), parameter: 'scale', factor: 1 / Math.sqrt(hidden_size) },
    expert_scale: `${prefix}.router.per_expert_scale`,
    module,
    experts: plainExperts(module, { hidden_size, inner, count }),
    top_k: reader.count('top_k_experts', undefined, count),
    normalises: true,
    beside: {
      mlp,
      norm_out: norm('post_feedforward_layernorm_1'),
      experts_in: norm('pre_feedforward_layernorm_2'),
      experts_out: norm('post_feedforward_layernorm_2'),
    },
  };
}

type DenseMlp = Exclude<MlpSpec, MixtureSpec>;

function denseOf({ reader, sizes, activation, first_shared }: Gemma4Model, i: number): DenseMlp {
  const { hidden_size, intermediate_size } = sizes;
  const isWide = reader.flag('use_double_wide_mlp') && i >= first_shared;
  const inner = isWide ? 2 * intermediate_size : intermediate_size;
  const prefix = `model.layers.${i}.mlp`;
  return {
    kind: 'gated',
    activation,
    gate: linear(`${prefix}.gate_proj`, hidden_size, inner),
    up: linear(`${prefix}.up_proj`, hidden_size, inner),
    down: linear(`${prefix}.down_proj`, inner, hidden_size),
  };
}

function normsOf({ sizes, eps }: Gemma4Model, i: number): LayerNorms {
  const norm = (name: string) => rmsNorm(`model.layers.${i}.${name}`, sizes.hidden_size, eps);
  return {
    ...NO_NORMS,
    attention_in: norm('input_layernorm'),
    attention_out: norm('post_attention_layernorm'),
    mlp_in: norm('pre_feedforward_layernorm'),
    mlp_out: norm('post_feedforward_layernorm'),
  };
}

function attentionOf(model: Gemma4Model, i: number): AttentionSpec {
  const { reader, sizes, types, first_shared } = model;
  const prefix = `model.layers.${i}.self_attn`;
  const { hidden_size, num_heads } = sizes;
  const isFull = types[i] === 'full_attention';
  const { head_dim, num_kv_heads } = headsOf(model, i);
  const bias = reader.flag('attention_bias');
  const project = (name: string, heads: number) =>
    linear(`${prefix}.${name}`, hidden_size, heads * head_dim, bias);
  const isShared = i >= first_shared;
  const isKey = isFull && reader.flag('attention_k_eq_v');
  const keys = isKey ? ['k_proj'] : ['k_proj', 'v_proj'];
  const own = isShared ? [] : keys.map((name) => project(name, num_kv_heads));
  return {
    num_heads,
    num_kv_heads,
    head_dim,
    layout: 'separate',
    qkv: [project('q_proj', num_heads), ...own],
    o: linear(`${prefix}.o_proj`, num_heads * head_dim, hidden_size, bias),
    qk_norm: {
      over: 'head',
      q: rmsNorm(`${prefix}.q_norm`, head_dim, model.eps),
      k: isShared ? null : rmsNorm(`${prefix}.k_norm`, head_dim, model.eps),
      values: true,
    },
    rope: ropeOf(model, i, head_dim),
    scale: 1,
    window: isFull ? null : reader.count('sliding_window', 512),
    softcap: null,
    ...(isKey && !isShared && { values: 'keys' as const }),
    ...(isShared && { keys_of: lenderOf(model, i) }),
  };
}

/** The last layer of the same type that has keys and values of its own. */
function lenderOf({ reader, types, first_shared }: Gemma4Model, i: number): number {
  const layer = types.slice(0, first_shared).lastIndexOf(types[i]!);
  if (layer >= 0) return layer;
  throw reader.bad(
    'num_kv_shared_layers',
    `leaves no ${types[i]!} layer whose keys layer ${i} could use`,
  );
}

/** per_layer_config, or the older keys for the layers that see all tokens. */
function headsOf(
  { reader, sizes, types }: Gemma4Model,
  i: number,
): Pick<Sizes, 'head_dim' | 'num_kv_heads'> {
  const own = new ConfigReader(overridesOf(reader, i, types[i]!), reader.file);
  const head_dim = own.count('head_dim', sizes.head_dim);
  const num_kv_heads = own.count('num_key_value_heads', sizes.num_kv_heads);
  if (sizes.num_heads % num_kv_heads === 0) return { head_dim, num_kv_heads };
  throw reader.bad(
    'num_key_value_heads',
    `${num_kv_heads} of layer ${i} does not divide num_attention_heads = ${sizes.num_heads}`,
  );
}

function overridesOf(reader: ConfigReader, i: number, type: LayerType): Config {
  const given = reader.raw('per_layer_config');
  if (isObject(given)) {
    const own = given[String(i)] ?? {};
    if (isObject(own)) return own;
    throw reader.bad('per_layer_config', `must have an object for layer ${i}`);
  }
  if (type === 'sliding_attention') return {};
  const num_key_value_heads = reader.flag('attention_k_eq_v')
    ? reader.raw('num_global_key_value_heads')
    : undefined;
  return {
    head_dim: reader.raw('global_head_dim') ?? GLOBAL_HEAD_DIM,
    num_key_value_heads,
  };
}

function ropeOf({ reader, types }: Gemma4Model, i: number, head_dim: number): RopeSpec {
  const kind = types[i]!;
  return readRope(reader, { head_dim, kind, missing: ROPE[kind] });
}

export const gemma4Families: Readonly<Record<string, Family>> = {
  gemma4_text: {
    tasks: ['causal_lm'],
    spec: specOf,
    renames: [],
    transformersClass: 'Gemma4',
    hasExperts: true,
    mlx: false,
    gguf: GEMMA4_GGUF,
  },
};
