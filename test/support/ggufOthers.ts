import { linearsOf } from '../../src/formats/architecture/layerLinears';
import { openBase } from '../../src/formats/openBase';
import type { DeltaSpec, MixtureSpec, Spec } from '../../src/formats/architecture/spec';
import type { GgufParts } from './ggufFixture';
import type { TensorSpec, Value } from './ggufWriter';

// Bases as llama.cpp's converter writes those whose tensors are not one to one (conversion/qwen.py,
// gpt_oss.py, gemma.py, t5.py, bert.py).

type Metadata = [string, Value][];
type Weights = ReadonlyMap<string, TensorSpec>;

/** Names within a layer, by the end of a checkpoint's. */
const NAMES: readonly (readonly [RegExp, string])[] = [
  [/self_attn\.q_proj\./, 'attn_q.'],
  [/self_attn\.k_proj\./, 'attn_k.'],
  [/self_attn\.v_proj\./, 'attn_v.'],
  [/self_attn\.o_proj\./, 'attn_output.'],
  [/self_attn\.q_norm\./, 'attn_q_norm.'],
  [/self_attn\.k_norm\./, 'attn_k_norm.'],
  [/self_attn\.sinks$/, 'attn_sinks.weight'],
  [/layer_scalar$/, 'layer_output_scale.weight'],
  [/router\.scale$/, 'ffn_gate_inp.scale'],
  [/router\.per_expert_scale$/, 'ffn_down_exps.scale'],
  [/(?:mlp\.gate|mlp\.router|router\.proj)\./, 'ffn_gate_inp.'],
  [/mlp\.gate_proj\./, 'ffn_gate.'],
  [/mlp\.up_proj\./, 'ffn_up.'],
  [/mlp\.down_proj\./, 'ffn_down.'],
  [/per_layer_input_gate\./, 'inp_gate.'],
  [/per_layer_projection\./, 'proj.'],
  [/post_per_layer_input_norm\./, 'post_norm.'],
  [/post_feedforward_layernorm_1\./, 'post_ffw_norm_1.'],
  [/post_feedforward_layernorm_2\./, 'post_ffw_norm_2.'],
  [/pre_feedforward_layernorm_2\./, 'pre_ffw_norm_2.'],
  [/post_feedforward_layernorm\./, 'post_ffw_norm.'],
  [/pre_feedforward_layernorm\./, 'ffn_norm.'],
  [/post_attention_layernorm\./, 'post_attention_norm.'],
  [/input_layernorm\./, 'attn_norm.'],
  [/linear_attn\.in_proj_qkv\./, 'attn_qkv.'],
  [/linear_attn\.in_proj_z\./, 'attn_gate.'],
  [/linear_attn\.in_proj_a\./, 'ssm_alpha.'],
  [/linear_attn\.in_proj_b\./, 'ssm_beta.'],
  [/linear_attn\.conv1d\./, 'ssm_conv1d.'],
  [/linear_attn\.norm\./, 'ssm_norm.'],
  [/linear_attn\.out_proj\./, 'ssm_out.'],
  [/linear_attn\.A_log$/, 'ssm_a'],
  [/linear_attn\.dt_bias$/, 'ssm_dt.bias'],
  [/SelfAttention\.(q|k|v|o)\./, 'attn_$1.'],
  [/SelfAttention\.relative_attention_bias\./, 'attn_rel_b.'],
  [/EncDecAttention\.(q|k|v|o)\./, 'cross_attn_$1.'],
  [/DenseReluDense\.wi_0\./, 'ffn_gate.'],
  [/DenseReluDense\.wi(?:_1)?\./, 'ffn_up.'],
  [/DenseReluDense\.wo\./, 'ffn_down.'],
  [/attention\.self\.query\./, 'attn_q.'],
  [/attention\.self\.key\./, 'attn_k.'],
  [/attention\.self\.value\./, 'attn_v.'],
  [/attention\.output\.dense\./, 'attn_output.'],
  [/attention\.output\.LayerNorm\./, 'attn_output_norm.'],
  [/intermediate\.dense\./, 'ffn_up.'],
  [/output\.dense\./, 'ffn_down.'],
  [/output\.LayerNorm\./, 'layer_output_norm.'],
];

const TOP: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight',
  'model.embed_tokens_per_layer.weight': 'per_layer_token_embd.weight',
  'model.per_layer_model_projection.weight': 'per_layer_model_proj.weight',
  'model.per_layer_projection_norm.weight': 'per_layer_proj_norm.weight',
  'shared.weight': 'token_embd.weight',
  'encoder.final_layer_norm.weight': 'enc.output_norm.weight',
  'decoder.final_layer_norm.weight': 'dec.output_norm.weight',
  'embeddings.word_embeddings.weight': 'token_embd.weight',
  'embeddings.position_embeddings.weight': 'position_embd.weight',
  'embeddings.token_type_embeddings.weight': 'token_types.weight',
  'embeddings.LayerNorm.weight': 'token_embd_norm.weight',
  'embeddings.LayerNorm.bias': 'token_embd_norm.bias',
};

function nameOf(name: string, arch: string): string {
  const top = TOP[name];
  if (top !== undefined) return top;
  if (arch === 't5') return t5Name(name);
  const [, layer, rest] = /\.layers?\.(\d+)\.(.+)$/.exec(name)!;
  if (arch === 'qwen3moe' && rest === 'post_attention_layernorm.weight')
    return `blk.${layer}.ffn_norm.weight`;
  return `blk.${layer}.${within(rest!)}`;
}

function t5Name(name: string): string {
  const [, stack, block, sublayer, rest] = /^(en|de)coder\.block\.(\d+)\.layer\.(\d)\.(.+)$/.exec(
    name,
  )!;
  const norms = stack === 'en' ? ['attn', 'ffn'] : ['attn', 'cross_attn', 'ffn'];
  const own =
    rest === 'layer_norm.weight' ? `${norms[Number(sublayer)]!}_norm.weight` : within(rest!);
  return `${stack}c.blk.${block}.${own}`;
}

function within(rest: string): string {
  const [from, to] = NAMES.find(([own]) => own.test(rest))!;
  const start = rest.search(from);
  return rest.slice(start).replace(from, to);
}

/** What BERT's files leave out. */
const LEFT_OUT = /^(?:bert\.)?(?:pooler|classifier)\./;

const IN_EXPERT = /\.experts\.\d+\./;

/** The tensors of a base in a GGUF file. */
function storedTensors(weights: Weights, spec: Spec, arch: string): TensorSpec[] {
  const others = [...weights.values()]
    .filter(({ name }) => !IN_EXPERT.test(name) && !(arch === 'bert' && LEFT_OUT.test(name)))
    .map((own) => ({ ...transformed(own, spec, arch), name: nameOf(own.name, arch) }));
  return [...others, ...spec.layers.flatMap((_, i) => expertTensors(weights, spec, arch, i))];
}

function transformed(own: TensorSpec, spec: Spec, arch: string): TensorSpec {
  if (arch !== 'qwen35') return own;
  const delta = spec.layers.find(({ attention }) => attention.delta)!.attention.delta!;
  if (own.name.includes('.linear_attn.')) return linearTensor(own, delta);
  return own.name.endsWith('norm.weight') ? { ...own, data: own.data.map((w) => w + 1) } : own;
}

/** Value heads in turn: the first one of each key head, then the second ones. */
function linearTensor(
  own: TensorSpec,
  { key_heads, value_heads, value_dim }: DeltaSpec,
): TensorSpec {
  const order = Array.from({ length: value_heads / key_heads }, (_, second) =>
    Array.from({ length: key_heads }, (_, key) => key * (value_heads / key_heads) + second),
  ).flat();
  const indices = (count: number, size: number) => {
    const first = count - value_heads * size;
    const moved = order.flatMap((head) =>
      Array.from({ length: size }, (_, i) => first + head * size + i),
    );
    return [...Array.from({ length: first }, (_, i) => i), ...moved];
  };
  const rows = (size: number) => takeRows(own, indices(own.shape[0]!, size));
  if (/in_proj_(?:qkv|z)/.test(own.name)) return rows(value_dim);
  if (/in_proj_[ab]|dt_bias/.test(own.name)) return rows(1);
  if (own.name.endsWith('A_log')) {
    const { data, ...rest } = rows(1);
    return { ...rest, data: data.map((x) => -Math.exp(x)) };
  }
  if (own.name.includes('conv1d')) {
    const { shape, ...rest } = rows(value_dim);
    return { ...rest, shape: [shape[0]!, shape[2]!] };
  }
  return own.name.includes('out_proj')
    ? transposed(takeRows(transposed(own), indices(own.shape[1]!, value_dim)))
    : own;
}

function takeRows(own: TensorSpec, rows: readonly number[]): TensorSpec {
  const width = own.data.length / own.shape[0]!;
  return {
    ...own,
    data: Float32Array.from(
      rows.flatMap((row) => [...own.data.subarray(row * width, (row + 1) * width)]),
    ),
  };
}

function transposed({ name, shape, data }: TensorSpec): TensorSpec {
  const [rows, width] = shape as [number, number];
  return {
    name,
    shape: [width, rows],
    data: data.map((_, i) => data[(i % rows) * width + Math.floor(i / rows)]!),
  };
}

/** A layer's experts, one after the other. */
function expertTensors(weights: Weights, spec: Spec, arch: string, layer: number): TensorSpec[] {
  const { mlp } = spec.layers[layer]!;
  if (mlp.kind !== 'mixture') return [];
  const at = `blk.${layer}.ffn_`;
  const of = (parameter: string) => stacked(weights, mlp, parameter);
  if (arch === 'gpt-oss') return gptOssExperts(weights, mlp, at);
  const [gate, up] = [of('gate_proj.weight'), of('up_proj.weight')];
  const down = { ...of('down_proj.weight'), name: `${at}down_exps.weight` };
  if (arch === 'gemma4')
    return [{ ...interleaved(gate, up), name: `${at}gate_up_exps.weight` }, down];
  return [{ ...gate, name: `${at}gate_exps.weight` }, { ...up, name: `${at}up_exps.weight` }, down];
}

function stacked(
  weights: Weights,
  { experts, module }: MixtureSpec,
  parameter: string,
): TensorSpec {
  const all = experts.map((_, e) => weights.get(`${module}.${e}.${parameter}`)!);
  return {
    name: parameter,
    shape: [all.length, ...all[0]!.shape],
    data: Float32Array.from(all.flatMap(({ data }) => [...data])),
  };
}

/** Of each expert gate, then up: [experts, 2 · inner, in]. */
function interleaved(gate: TensorSpec, up: TensorSpec): TensorSpec {
  const [experts, inner, width] = gate.shape as [number, number, number];
  const size = inner * width;
  const data = Array.from({ length: experts }, (_, e) =>
    [gate, up].flatMap((own) => [...own.data.subarray(e * size, (e + 1) * size)]),
  );
  return { ...gate, shape: [experts, 2 * inner, width], data: Float32Array.from(data.flat()) };
}

/** Every second row is gate's, the others are up's. */
function gptOssExperts(weights: Weights, mlp: MixtureSpec, at: string): TensorSpec[] {
  const halves = (parameter: 'weight' | 'bias') => {
    const both = stacked(weights, mlp, `gate_up_proj.${parameter}`);
    const [experts, rows, ...rest] = both.shape as [number, number, ...number[]];
    const width = rest[0] ?? 1;
    return ['gate', 'up'].map((part, first) => ({
      name: `${at}${part}_exps.${parameter}`,
      shape: [experts, rows / 2, ...rest],
      data: both.data.filter((_, i) => Math.floor(i / width) % 2 === first),
    }));
  };
  const down = (parameter: string) => ({
    ...stacked(weights, mlp, `down_proj.${parameter}`),
    name: `${at}down_exps.${parameter}`,
  });
  return [...halves('weight'), ...halves('bias'), down('weight'), down('bias')];
}

const common = (config: Readonly<Record<string, number>>, spec: Spec): Metadata => {
  const { num_heads, num_kv_heads, head_dim } = spec.layers[0]!.attention;
  return [
    ['context_length', { u32: config['max_position_embeddings'] ?? 512 }],
    ['block_count', { u32: spec.num_layers }],
    ['embedding_length', { u32: spec.hidden_size }],
    ['feed_forward_length', { u32: config['intermediate_size']! }],
    ['attention.head_count', { u32: num_heads }],
    ['attention.head_count_kv', { u32: num_kv_heads }],
    ['attention.key_length', { u32: head_dim }],
    ['attention.value_length', { u32: head_dim }],
    ...(spec.final_norm
      ? ([['attention.layer_norm_rms_epsilon', { f32: spec.final_norm.eps }]] as Metadata)
      : []),
  ];
};

const ropeKeys = ({ layers }: Spec): Metadata => {
  const { theta, rotary_dim, scaling } = layers.find(({ attention }) => attention.rope)!.attention
    .rope!;
  return [
    ['rope.freq_base', { f32: theta }],
    ['rope.dimension_count', { u32: rotary_dim }],
    ...(scaling.kind === 'yarn'
      ? ([
          ['rope.scaling.type', { text: 'yarn' }],
          ['rope.scaling.factor', { f32: scaling.factor }],
          [
            'rope.scaling.original_context_length',
            { u32: scaling.original_max_position_embeddings },
          ],
        ] as Metadata)
      : []),
  ];
};

function expertKeys({ layers }: Spec): Metadata {
  const mlp = layers.map((own) => own.mlp).find((own) => own.kind === 'mixture');
  if (!mlp) return [];
  return [
    ['expert_count', { u32: mlp.experts.length }],
    ['expert_used_count', { u32: mlp.top_k }],
    ['expert_feed_forward_length', { u32: mlp.experts[0]!.down.in_features }],
  ];
}

function qwen35Keys({ layers }: Spec): Metadata {
  const { delta } = layers.find(({ attention }) => attention.delta)!.attention;
  const { key_heads, value_heads, key_dim, value_dim, convolution } = delta!;
  return [
    ['rope.dimension_sections', { ints: [1, 1, 0, 0] }],
    ['ssm.conv_kernel', { u32: convolution.kernel }],
    ['ssm.state_size', { u32: key_dim }],
    ['ssm.group_count', { u32: key_heads }],
    ['ssm.time_step_rank', { u32: value_heads }],
    ['ssm.inner_size', { u32: value_dim * value_heads }],
  ];
}

function gemma4Keys(config: Readonly<Record<string, number>>, { layers, head }: Spec): Metadata {
  const sliding = layers.map(({ attention }) => attention.window !== null);
  const [full, local] = [false, true].map((own) => layers[sliding.indexOf(own)]!.attention) as [
    Spec['layers'][number]['attention'],
    Spec['layers'][number]['attention'],
  ];
  const shared = layers.filter(({ attention }) => attention.keys_of !== undefined).length;
  const inner = layers.map(({ mlp }) => {
    const dense = mlp.kind === 'mixture' ? mlp.beside!.mlp : mlp;
    return dense.down.in_features;
  });
  return [
    ['feed_forward_length', { ints: inner }],
    ['attention.head_count_kv', { ints: layers.map(({ attention }) => attention.num_kv_heads) }],
    ['attention.sliding_window', { u32: local.window! }],
    ['attention.sliding_window_pattern', { bools: sliding }],
    ['attention.shared_kv_layers', { u32: shared }],
    ['attention.key_length', { u32: full.head_dim }],
    ['attention.value_length', { u32: full.head_dim }],
    ['attention.key_length_swa', { u32: local.head_dim }],
    ['attention.value_length_swa', { u32: local.head_dim }],
    ['rope.dimension_count', { u32: full.head_dim }],
    ['rope.dimension_count_swa', { u32: local.head_dim }],
    ['rope.freq_base', { f32: full.rope!.theta }],
    ['rope.freq_base_swa', { f32: local.rope!.theta }],
    ['final_logit_softcapping', { f32: (head as { softcap: number }).softcap }],
    ['embedding_length_per_layer_input', { u32: config['hidden_size_per_layer_input'] ?? 0 }],
  ];
}

const t5Keys = (config: Readonly<Record<string, number>>): Metadata => [
  ['block_count', { u32: config['num_layers']! }],
  ['decoder_block_count', { u32: config['num_decoder_layers']! }],
  ['feed_forward_length', { u32: config['d_ff']! }],
  ['attention.relative_buckets_count', { u32: config['relative_attention_num_buckets']! }],
  ['decoder_start_token_id', { u32: config['decoder_start_token_id'] ?? 0 }],
];

const bertKeys = (config: Readonly<Record<string, number>>): Metadata => [
  ['attention.layer_norm_epsilon', { f32: config['layer_norm_eps']! }],
  ['attention.causal', { bool: false }],
  ['pooling_type', { u32: 1 }],
];

type Keys = (config: Readonly<Record<string, number>>, spec: Spec) => Metadata;

/** By architecture; what comes later replaces what is before. */
const KEYS: Readonly<Record<string, Keys>> = {
  qwen3moe: (_, spec) => [...ropeKeys(spec), ...expertKeys(spec)],
  'gpt-oss': (_, spec) => [
    ...ropeKeys(spec),
    ...expertKeys(spec),
    ['attention.sliding_window', { u32: spec.layers[0]!.attention.window! }],
  ],
  qwen35: (_, spec) => [...ropeKeys(spec), ...qwen35Keys(spec)],
  gemma4: (config, spec) => [...expertKeys(spec), ...gemma4Keys(config, spec)],
  t5: (config) => t5Keys(config),
  bert: (config) => bertKeys(config),
};

/** Whether the architecture is one of these. */
export const isOther = (arch: string): boolean => arch in KEYS;

/** As `asGguf`, for these architectures. */
export async function asOtherGguf(folder: string, arch: string): Promise<GgufParts> {
  const base = await openBase(folder, arch === 'bert' ? { task: 'embedding' } : {});
  const { spec } = base;
  const weights = new Map<string, TensorSpec>();
  const turned = new Set(
    spec.layers.flatMap(linearsOf).flatMap((own) => (own.transposed ? [`${own.path}.weight`] : [])),
  );
  for (const { name, shape } of base.weights.tensors.values()) {
    const own = { name, shape, data: await base.weights.readF32(name) };
    weights.set(name, turned.has(name) ? transposed(own) : own);
  }
  await base.close();
  const config = base.config as Record<string, number>;
  const keys = new Map([...common(config, spec), ...KEYS[arch]!(config, spec)]);
  return {
    metadata: [
      ['general.architecture', { text: arch }],
      ['general.name', { text: arch }],
      ...[...keys].map(([key, value]): [string, Value] => [`${arch}.${key}`, value]),
    ],
    tensors: [...storedTensors(weights, spec, arch), ...stillPairs(spec, arch)],
  };
}

/** Gemma 4's divisors of the frequencies of layers that see all tokens. */
function stillPairs({ layers }: Spec, arch: string): TensorSpec[] {
  if (arch !== 'gemma4') return [];
  const { head_dim, rope } = layers.find(({ attention }) => attention.window === null)!.attention;
  const rotating = rope!.scaling.kind === 'proportional' ? rope!.scaling.pairs : head_dim / 2;
  const data = Float32Array.from({ length: head_dim / 2 }, (_, i) => (i < rotating ? 1 : 1e30));
  return [{ name: 'rope_freqs.weight', shape: [head_dim / 2], data }];
}
