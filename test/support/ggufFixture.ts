import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openBase } from '../../src/formats/openBase';
import type { Spec } from '../../src/formats/architecture/spec';
import { inverseFrequencies } from '../../src/models/attention/rope';
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
  [/q_norm$/, 'attn_q_norm'],
  [/k_norm$/, 'attn_k_norm'],
  [/gate_proj$/, 'ffn_gate'],
  [/up_proj$|c_fc$|dense_h_to_4h$/, 'ffn_up'],
  [/down_proj$|mlp\.c_proj$|dense_4h_to_h$/, 'ffn_down'],
  [/input_layernorm$|ln_1$/, 'attn_norm'],
  [/ln_2$|pre_feedforward_layernorm$/, 'ffn_norm'],
];
const TOP: Readonly<Record<string, string>> = {
  'model.embed_tokens': 'token_embd',
  'transformer.wte': 'token_embd',
  'gpt_neox.embed_in': 'token_embd',
  'transformer.wpe': 'position_embd',
  'model.norm': 'output_norm',
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

/**
 * A base as llama.cpp's converter writes it (conversion/*.py): its names, its metadata, rows of q
 * and k interleaved in llama and smollm3, Gemma's norms with their 1, GPT-2's layers the other way
 * round, GPT-NeoX's queries, keys and values apart.
 */
export async function asGguf(folder: string, arch: string): Promise<GgufParts> {
  const base = await openBase(folder);
  const { spec } = base;
  const { num_heads, num_kv_heads, head_dim, window } = spec.layers[0]!.attention;
  const tensors: TensorSpec[] = [];
  for (const { name, shape } of base.weights.tensors.values()) {
    const data = await base.weights.readF32(name);
    tensors.push({
      name: ggufName(name, arch),
      ...stored(name, data, shape, arch, num_heads, num_kv_heads),
    });
  }
  await base.close();
  const rope = spec.layers[0]!.attention.rope ?? null;
  const config = base.config as Record<string, number>;
  const eps = spec.final_norm!.eps;
  const own: [string, Value][] = [
    ['block_count', { u32: spec.num_layers }],
    ['context_length', { u32: config['max_position_embeddings'] ?? config['n_positions']! }],
    ['embedding_length', { u32: spec.hidden_size }],
    ['feed_forward_length', { u32: spec.layers[0]!.mlp.down.in_features }],
    ['attention.head_count', { u32: num_heads }],
    [
      arch === 'gpt2' || arch === 'gptneox'
        ? 'attention.layer_norm_epsilon'
        : 'attention.layer_norm_rms_epsilon',
      { f32: eps },
    ],
    ...(arch === 'gpt2' || arch === 'gptneox'
      ? []
      : ([['attention.head_count_kv', { u32: num_kv_heads }]] as [string, Value][])),
    ...(['gpt2', 'gptneox', 'phi3'].includes(arch)
      ? []
      : ([['attention.key_length', { u32: head_dim }]] as [string, Value][])),
    ...(rope && !arch.startsWith('gemma')
      ? ([['rope.dimension_count', { u32: rope.rotary_dim }]] as [string, Value][])
      : []),
    ...(arch === 'gpt2' || arch === 'gptneox' || arch === 'gemma' || arch === 'gemma2' || !rope
      ? []
      : ([['rope.freq_base', { f32: arch === 'gemma3' ? 1e6 : rope.theta }]] as [string, Value][])),
    ...(arch === 'gptneox'
      ? ([['use_parallel_residual', { bool: spec.layers[0]!.residual === 'parallel' }]] as [
          string,
          Value,
        ][])
      : []),
    ...(arch === 'gemma2'
      ? ([
          ['attn_logit_softcapping', { f32: spec.layers[0]!.attention.softcap! }],
          ['final_logit_softcapping', { f32: (spec.head as { softcap: number }).softcap }],
        ] as [string, Value][])
      : []),
    ...(arch === 'gemma2' || arch === 'gemma3'
      ? ([['attention.sliding_window', { u32: window! }]] as [string, Value][])
      : []),
    ...(arch === 'phi3'
      ? ([['attention.sliding_window', { u32: window ?? 0 }]] as [string, Value][])
      : []),
    ...scalingOf(spec),
  ];
  tensors.push(...factorsOf(spec));
  return {
    metadata: [
      ['general.architecture', { text: arch }],
      ['general.name', { text: arch }],
      ...own.map(([key, value]): [string, Value] => [`${arch}.${key}`, value]),
    ],
    tensors,
  };
}

function scalingOf(spec: Spec): [string, Value][] {
  const scaling = spec.layers[0]!.attention.rope?.scaling;
  if (scaling?.kind === 'yarn') {
    return [
      ['rope.scaling.type', { text: 'yarn' }],
      ['rope.scaling.factor', { f32: scaling.factor }],
      ['rope.scaling.original_context_length', { u32: scaling.original_max_position_embeddings }],
    ];
  }
  if (scaling?.kind === 'longrope')
    return [
      ['rope.scaling.original_context_length', { u32: scaling.original_max_position_embeddings }],
      ['rope.scaling.attn_factor', { f32: scaling.attention_factor }],
    ];
  return [];
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
  const outer = /^(?:gemma[23]|olmo2)$/.test(arch);
  const norm = /post_attention_layernorm$/.test(at!)
    ? outer
      ? 'post_attention_norm'
      : 'ffn_norm'
    : /post_feedforward_layernorm$/.test(at!)
      ? 'post_ffw_norm'
      : undefined;
  return `blk.${layer}.${norm ?? PARTS.find(([end]) => end.test(at!))![1]}.${kind}`;
}

function stored(
  name: string,
  data: Float32Array,
  shape: readonly number[],
  arch: string,
  heads: number,
  kv_heads: number,
): Pick<TensorSpec, 'shape' | 'data'> {
  const own = /self_attn\.q_proj/.test(name)
    ? heads
    : /self_attn\.k_proj/.test(name)
      ? kv_heads
      : 0;
  if ((arch === 'llama' || arch === 'smollm3') && own > 0)
    return { shape, data: interleave(data, own, shape[0]!) };
  if (arch.startsWith('gemma') && name.endsWith('norm.weight'))
    return { shape, data: data.map((w) => w + 1) };
  if (arch === 'gpt2' && /\.c_(?:attn|proj|fc)\.weight$/.test(name))
    return { shape: shape.toReversed(), data: turned(data, shape[0]!) };
  return {
    shape,
    data:
      arch === 'gptneox' && name.includes('query_key_value') ? apart(data, heads, shape[0]!) : data,
  };
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

function turned(data: Float32Array, rows: number): Float32Array {
  const columns = data.length / rows;
  return Float32Array.from(
    { length: data.length },
    (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!,
  );
}
