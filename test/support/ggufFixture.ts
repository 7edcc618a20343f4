import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openBase } from '../../src/formats/openBase';
import type { LayerSpec, RopeScaling, Spec } from '../../src/formats/architecture/spec';
import { innerSizeOf } from '../../src/formats/architecture/modules';
import { inverseFrequencies } from '../../src/models/attention/rope';
import { asOtherGguf, isOther } from './ggufOthers';
import type { TensorSpec, Value } from './ggufWriter';

const fixtures = path.resolve(import.meta.dirname, '../fixtures');

/**
 * llama.cpp's names for the parts of a layer (gguf-py's tensor_mapping.py), by the end of a
 * checkpoint's.
 */
const PARTS: readonly (readonly [RegExp, string])[] = [
  [/self_attn\.q_proj$/, 'attn_q'],
  [/self_attn\.k_proj$/, 'attn_k'],
  [/self_attn\.v_proj$/, 'attn_v'],
  [/self_attn\.o_proj$|attn\.c_proj$|attention\.dense$/, 'attn_output'],
  [/self_attn\.qkv_proj$|attn\.c_attn$|query_key_value$/, 'attn_qkv'],
  [/conv\.in_proj$/, 'shortconv.in_proj'],
  [/conv\.conv$/, 'shortconv.conv'],
  [/conv\.out_proj$/, 'shortconv.out_proj'],
  [/self_attn\.out_proj$/, 'attn_output'],
  [/q_norm$|q_layernorm$|query_layernorm$/, 'attn_q_norm'],
  [/k_norm$|k_layernorm$|key_layernorm$/, 'attn_k_norm'],
  [/gate_proj$|feed_forward\.w1$/, 'ffn_gate'],
  [/up_proj$|c_fc$|dense_h_to_4h$|feed_forward\.w3$/, 'ffn_up'],
  [/down_proj$|mlp\.c_proj$|dense_4h_to_h$|feed_forward\.w2$/, 'ffn_down'],
  [/input_layernorm$|ln_1$|operator_norm$/, 'attn_norm'],
  [/ln_2$|ffn_norm$|pre_feedforward_layernorm$|post_attention_layernorm$/, 'ffn_norm'],
  [/post_feedforward_layernorm$|post_mlp_layernorm$/, 'post_ffw_norm'],
  [/post_self_attn_layernorm$/, 'post_attention_norm'],
];
const TOP: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'transformer.wte': 'token_embd',
  'gpt_neox.embed_in': 'token_embd',
  'transformer.wpe': 'position_embd',
  'model.norm': 'output_norm',
  'model.embedding_norm': 'token_embd_norm',
  'transformer.ln_f': 'output_norm',
  'gpt_neox.final_layer_norm': 'output_norm',
  lm_head: 'output',
  embed_out: 'output',
};

export interface GgufParts {
  readonly metadata: [string, Value][];
  readonly tensors: TensorSpec[];
}

/**
 * A fixture's base, its config changed where a GGUF file cannot say all that it says: what the
 * reader must give back.
 */
export function originalOf(family: string, change: object): string {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'lora-original-')), 'base');
  cpSync(path.join(fixtures, family, 'base'), folder, { recursive: true });
  const config = path.join(folder, 'config.json');
  writeFileSync(
    config,
    JSON.stringify({ ...(JSON.parse(readFileSync(config, 'utf8')) as object), ...change }),
  );
  return folder;
}

type Metadata = [string, Value][];
type YarnScaling = Extract<RopeScaling, { readonly kind: 'yarn' }>;

/**
 * A base as llama.cpp's converter writes it (conversion/*.py): its names, its metadata, rows of q
 * and k interleaved in llama and smollm3, Gemma's norms with their 1, GPT-2's layers the other way
 * round, GPT-NeoX's queries, keys and values apart.
 */
export async function asGguf(folder: string, arch: string): Promise<GgufParts> {
  if (isOther(arch)) return asOtherGguf(folder, arch);
  const base = await openBase(folder);
  const { spec } = base;
  const tensors: TensorSpec[] = [];
  for (const { name, shape } of base.weights.tensors.values()) {
    const data = await base.weights.readF32(name);
    tensors.push({ name: ggufName(name, arch), ...stored({ name, shape, data }, arch, spec) });
  }
  await base.close();
  const config = base.config as Record<string, number>;
  const ofArchitecture: Metadata = [
    ['context_length', { u32: config['max_position_embeddings'] ?? config['n_positions']! }],
    ...sizesOf(spec),
    ...attentionOf(spec, arch),
    ...ropeOf(spec, arch),
    ...scalingOf(spec),
    ...windowsOf(spec, arch),
  ];
  tensors.push(...factorsOf(spec));
  return {
    metadata: [
      ['general.architecture', { text: arch }],
      ['general.name', { text: arch }],
      ...ofArchitecture.map(([key, value]): [string, Value] => [`${arch}.${key}`, value]),
    ],
    tensors,
  };
}

function sizesOf(spec: Spec): Metadata {
  return [
    ['block_count', { u32: spec.num_layers }],
    ['embedding_length', { u32: spec.hidden_size }],
    ['feed_forward_length', { u32: innerSizeOf(spec.layers[0]!.mlp) }],
    ['attention.head_count', { u32: spec.layers[0]!.attention.num_heads }],
  ];
}

/** Windows of some layers (conversion/olmo.py, exaone.py). */
function windowsOf({ layers }: Spec, arch: string): Metadata {
  const windows = layers.map(({ attention }) => attention.window);
  const window = windows.find((own) => own !== null) ?? null;
  if (window === null || !['olmo2', 'exaone4'].includes(arch)) return [];
  return [
    ['attention.sliding_window', { u32: window }],
    ['attention.sliding_window_pattern', { bools: windows.map((own) => own !== null) }],
  ];
}

const hasLayerNorm = (arch: string) => arch === 'gpt2' || arch === 'gptneox';

function attentionOf(spec: Spec, arch: string): Metadata {
  const { attention, residual } = spec.layers[0]!;
  const eps: Value = { f32: spec.final_norm!.eps };
  const metadata: Metadata = [];
  if (hasLayerNorm(arch)) {
    metadata.push(['attention.layer_norm_epsilon', eps]);
  } else {
    metadata.push(
      ['attention.layer_norm_rms_epsilon', eps],
      ['attention.head_count_kv', keyHeadsOf(spec, arch)],
    );
  }
  if (!hasLayerNorm(arch) && arch !== 'phi3') {
    metadata.push(
      ['attention.key_length', { u32: attention.head_dim }],
      ['attention.value_length', { u32: attention.head_dim }],
    );
  }
  if (arch === 'gptneox') {
    metadata.push(['use_parallel_residual', { bool: residual === 'parallel' }]);
  }
  if (arch === 'gemma2') {
    const { softcap } = spec.head as { softcap: number };
    metadata.push(
      ['attn_logit_softcapping', { f32: attention.softcap! }],
      ['final_logit_softcapping', { f32: softcap }],
    );
  }
  if (arch === 'granite') metadata.push(...multipliersOf(spec));
  if (arch === 'lfm2') metadata.push(['shortconv.l_cache', { u32: attention.convolution!.kernel }]);
  if (['gemma2', 'gemma3', 'phi3'].includes(arch)) {
    metadata.push(['attention.sliding_window', { u32: attention.window ?? 0 }]);
  }
  return metadata;
}

/** LFM2's layers without attention have none (conversion/lfm2.py). */
const keyHeadsOf = ({ layers }: Spec, arch: string): Value =>
  arch === 'lfm2'
    ? {
        ints: layers.map(({ attention }) => (attention.convolution ? 0 : attention.num_kv_heads)),
      }
    : { u32: layers[0]!.attention.num_kv_heads };

function multipliersOf({ embedding, layers, head }: Spec): Metadata {
  const [{ attention, branch_scale = 1 }] = layers as [LayerSpec];
  return [
    ['attention.scale', { f32: attention.scale }],
    ['embedding_scale', { f32: embedding.kind === 'tokens' ? embedding.scale : 1 }],
    ['residual_scale', { f32: branch_scale }],
    ['logit_scale', { f32: 1 / ((head.kind === 'lm' && head.scale) || 1) }],
  ];
}

function ropeOf(spec: Spec, arch: string): Metadata {
  const rope = spec.layers[0]!.attention.rope ?? null;
  if (!rope) return [];
  const metadata: Metadata = [];
  if (rope.query_growth)
    metadata.push(
      ['attention.temperature_scale', { f32: rope.query_growth.beta }],
      ['rope.scaling.yarn_log_multiplier', { f32: 1 }],
    );
  if (!arch.startsWith('gemma')) {
    metadata.push(['rope.dimension_count', { u32: rope.rotary_dim }]);
  }
  // Gemma 3's local layers have a theta of their own, which the file does not hold.
  if (!hasLayerNorm(arch) && arch !== 'gemma' && arch !== 'gemma2') {
    metadata.push(['rope.freq_base', { f32: arch === 'gemma3' ? 1e6 : rope.theta }]);
  }
  return metadata;
}

function scalingOf(spec: Spec): Metadata {
  // of OLMo 3, only the last of four layers is scaled
  const scaling = spec.layers.at(-1)!.attention.rope?.scaling;
  if (scaling?.kind === 'yarn') {
    return [
      ['rope.scaling.type', { text: 'yarn' }],
      ['rope.scaling.factor', { f32: scaling.factor }],
      ['rope.scaling.original_context_length', { u32: scaling.original_max_position_embeddings }],
      ...factorOf(scaling),
    ];
  }
  if (scaling?.kind === 'longrope')
    return [
      ['rope.scaling.original_context_length', { u32: scaling.original_max_position_embeddings }],
      ['rope.scaling.attn_factor', { f32: scaling.attention_factor }],
    ];
  return [];
}

/** attention_factor, where the config has another than YaRN's own. */
function factorOf({ factor, attention_factor }: YarnScaling): Metadata {
  const isOwn = [1, 0.1 * Math.log(factor) + 1].some((own) => attention_factor === own);
  return isOwn ? [] : [['rope.scaling.yarn_attn_factor', { f32: attention_factor }]];
}

function factorsOf(spec: Spec): TensorSpec[] {
  const { rope } = spec.layers[0]!.attention;
  if (rope?.scaling.kind === 'longrope') {
    return (['long', 'short'] as const).map((kind) => ({
      name: `rope_factors_${kind}.weight`,
      shape: [rope.rotary_dim / 2],
      data: Float32Array.from(
        rope.scaling.kind === 'longrope' ? rope.scaling[`${kind}_factor`] : [],
      ),
    }));
  }
  if (rope?.scaling.kind !== 'llama3') return [];
  const scaled = inverseFrequencies(rope, 1);
  return [
    {
      name: 'rope_freqs.weight',
      shape: [rope.rotary_dim / 2],
      data: inverseFrequencies({ ...rope, scaling: { kind: 'default' } }, 1).map(
        (frequency, i) => frequency / scaled[i]!,
      ),
    },
  ];
}

function ggufName(name: string, arch: string): string {
  const [, at, kind] = /^(.+)\.(weight|bias)$/.exec(name)!;
  const top = TOP[at!];
  if (top !== undefined) return `${top}.${kind}`;
  const layer = /\.(\d+)\./.exec(at!)![1];
  return `blk.${layer}.${partOf(at!, arch)}.${kind}`;
}

function partOf(module: string, arch: string): string {
  // In the families with norms after each part too, the name means what it says.
  const normAfter = /^(?:gemma[23]|olmo2|exaone4|seed_oss)$/.test(arch);
  if (normAfter && module.endsWith('post_attention_layernorm')) return 'post_attention_norm';
  return PARTS.find(([end]) => end.test(module))![1];
}

function stored(
  { name, shape, data }: TensorSpec,
  arch: string,
  spec: Spec,
): Pick<TensorSpec, 'shape' | 'data'> {
  const { num_heads, num_kv_heads } = spec.layers[0]!.attention;
  const rows = shape[0]!;
  if (['llama', 'smollm3', 'granite', 'mistral3'].includes(arch)) {
    if (name.includes('self_attn.q_proj'))
      return { shape, data: interleave(data, num_heads, rows) };
    if (name.includes('self_attn.k_proj')) {
      return { shape, data: interleave(data, num_kv_heads, rows) };
    }
  }
  if (arch.startsWith('gemma') && name.endsWith('norm.weight')) {
    return { shape, data: data.map((w) => w + 1) };
  }
  if (arch === 'gpt2' && /\.c_(?:attn|proj|fc)\.weight$/.test(name)) {
    return { shape: shape.toReversed(), data: transposed(data, rows) };
  }
  if (name.endsWith('.conv.conv.weight')) return { shape: [shape[0]!, shape[2]!], data };
  if (arch === 'gptneox' && name.includes('query_key_value')) {
    return { shape, data: apart(data, num_heads, rows) };
  }
  return { shape, data };
}

/** reshape(heads, 2, half, width).swapaxes(1, 2) */
function interleave(data: Float32Array, heads: number, rows: number): Float32Array {
  const half = rows / heads / 2;
  return rowsOf(
    data,
    rows,
    Array.from({ length: heads }, (_, h) =>
      Array.from({ length: half }, (_, i) => [0, 1].map((part) => (h * 2 + part) * half + i)),
    ).flat(2),
  );
}

/** reshape(heads, 3, head_dim, width), one part after the other */
function apart(data: Float32Array, heads: number, rows: number): Float32Array {
  const head_dim = rows / heads / 3;
  return rowsOf(
    data,
    rows,
    [0, 1, 2]
      .flatMap((part) =>
        Array.from({ length: heads }, (_, h) =>
          Array.from({ length: head_dim }, (_, i) => (h * 3 + part) * head_dim + i),
        ),
      )
      .flat(),
  );
}

function rowsOf(data: Float32Array, rows: number, order: readonly number[]): Float32Array {
  const width = data.length / rows;
  return Float32Array.from(
    order.flatMap((row) => [...data.subarray(row * width, (row + 1) * width)]),
  );
}

function transposed(data: Float32Array, rows: number): Float32Array {
  const columns = data.length / rows;
  return Float32Array.from(
    { length: data.length },
    (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!,
  );
}

/** BERT's vocabulary as llama.cpp's converter writes it (conversion/bert.py). */
export function vocabularyOf(folder: string): Metadata {
  const { model, added_tokens } = JSON.parse(
    readFileSync(path.join(folder, 'tokenizer.json'), 'utf8'),
  ) as {
    model: { vocab: Readonly<Record<string, number>> };
    added_tokens: readonly { id: number }[];
  };
  const special = new Set(added_tokens.map(({ id }) => id));
  const words = Object.entries(model.vocab).sort(([, a], [, b]) => a - b);
  const texts = words.map(([token, id]) => {
    if (special.has(id)) return token;
    return token.startsWith('##') ? token.slice(2) : `▁${token}`;
  });
  const at = (token: string): Value => ({ u32: model.vocab[token]! });
  return [
    ['tokenizer.ggml.model', { text: 'bert' }],
    ['tokenizer.ggml.pre', { text: 'default' }],
    ['tokenizer.ggml.token_type_count', { u32: 2 }],
    ['tokenizer.ggml.tokens', { texts }],
    ['tokenizer.ggml.token_type', { ints: words.map(([, id]) => (special.has(id) ? 3 : 1)) }],
    ['tokenizer.ggml.unknown_token_id', at('[UNK]')],
    ['tokenizer.ggml.cls_token_id', at('[CLS]')],
    ['tokenizer.ggml.seperator_token_id', at('[SEP]')],
    ['tokenizer.ggml.padding_token_id', at('[PAD]')],
    ['tokenizer.ggml.mask_token_id', at('[MASK]')],
  ];
}
