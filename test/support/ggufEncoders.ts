import { openBase } from '../../src/formats/openBase';
import type { GgufParts } from './ggufFixture';
import type { TensorSpec, Value } from './ggufWriter';

// Encoders as llama.cpp's converter writes them (conversion/bert.py): RoBERTa's positions without
// the rows of padding, and of classifiers the layers for labels.

type Metadata = [string, Value][];

/** Names within a layer, by a checkpoint's. */
const PARTS: Readonly<Record<string, string>> = {
  'attention.self.query': 'attn_q',
  'attention.self.key': 'attn_k',
  'attention.self.value': 'attn_v',
  'attention.output.dense': 'attn_output',
  'attention.output.LayerNorm': 'attn_output_norm',
  'intermediate.dense': 'ffn_up',
  'output.dense': 'ffn_down',
  'output.LayerNorm': 'layer_output_norm',
  'attention.q_lin': 'attn_q',
  'attention.k_lin': 'attn_k',
  'attention.v_lin': 'attn_v',
  'attention.out_lin': 'attn_output',
  sa_layer_norm: 'attn_output_norm',
  'ffn.lin1': 'ffn_up',
  'ffn.lin2': 'ffn_down',
  output_layer_norm: 'layer_output_norm',
  attn_norm: 'attn_norm',
  'attn.Wqkv': 'attn_qkv',
  'attn.Wo': 'attn_output',
  mlp_norm: 'ffn_norm',
  'mlp.Wi': 'ffn_up',
  'mlp.Wo': 'ffn_down',
};

const TOP: Readonly<Record<string, string>> = {
  'embeddings.word_embeddings': 'token_embd',
  'embeddings.tok_embeddings': 'token_embd',
  'embeddings.position_embeddings': 'position_embd',
  'embeddings.token_type_embeddings': 'token_types',
  'embeddings.LayerNorm': 'token_embd_norm',
  'embeddings.norm': 'token_embd_norm',
  final_norm: 'output_norm',
};

/** Names of layers for labels, by the family. */
const HEADS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  bert: { 'pooler.dense': 'cls', classifier: 'cls.output' },
  roberta: { 'classifier.dense': 'cls', 'classifier.out_proj': 'cls.output' },
  'xlm-roberta': { 'classifier.dense': 'cls', 'classifier.out_proj': 'cls.output' },
  distilbert: { pre_classifier: 'cls', classifier: 'cls.output' },
  modernbert: { 'head.dense': 'cls', 'head.norm': 'cls.norm', classifier: 'cls.output' },
};

const BODY = /^(?:bert|roberta|distilbert|model)\./;

/** The name in the file; null: the file leaves the tensor out. */
function nameOf(name: string, head: Readonly<Record<string, string>>): string | null {
  const [, path, kind] = /^(.+)\.(weight|bias)$/.exec(name.replace(BODY, ''))!;
  const top = TOP[path!] ?? head[path!];
  if (top !== undefined) return `${top}.${kind}`;
  const [, layer, part] = /(?:^|\.)layers?\.(\d+)\.(.+)$/.exec(path!) ?? [];
  return layer === undefined ? null : `blk.${layer}.${PARTS[part!]!}.${kind}`;
}

type Config = Readonly<Record<string, number>>;

const keysOf = (config: Config, eps: number): Metadata => [
  ['block_count', { u32: config['num_hidden_layers'] ?? config['n_layers']! }],
  ['embedding_length', { u32: config['hidden_size'] ?? config['dim']! }],
  ['feed_forward_length', { u32: config['intermediate_size'] ?? config['hidden_dim']! }],
  ['attention.head_count', { u32: config['num_attention_heads'] ?? config['n_heads']! }],
  ['attention.layer_norm_epsilon', { f32: eps }],
  ['attention.causal', { bool: false }],
];

const rotaryKeys = (config: Config): Metadata => [
  ['attention.sliding_window', { u32: config['local_attention']! }],
  ['rope.freq_base', { f32: 160_000 }],
  ['rope.freq_base_swa', { f32: 10_000 }],
  ['rope.scaling.type', { text: 'none' }],
];

/** The vocabularies by which files of one architecture are told apart. */
const VOCABULARIES: Readonly<Record<string, string>> = {
  roberta: 'gpt2',
  'xlm-roberta': 't5',
  modernbert: 'gpt2',
};

/** RoBERTa's positions of padding are left out. */
function stored(own: TensorSpec, isRoberta: boolean): TensorSpec {
  const [rows = 0, width = 1] = own.shape;
  if (!isRoberta || own.name !== 'position_embd.weight') return own;
  return { ...own, shape: [rows - 2, width], data: own.data.subarray(2 * width) };
}

/** An encoder in a GGUF file; `labels`: with its classifier. */
export async function encoderGguf(folder: string, labels = false): Promise<GgufParts> {
  const base = await openBase(folder, { task: labels ? 'seq_cls' : 'embedding' });
  const { family, embedding } = base.spec;
  const config = base.config as Config;
  const isModern = family === 'modernbert';
  const isRoberta = family.endsWith('roberta');
  const tensors: TensorSpec[] = [];
  for (const { name: own, shape } of base.weights.tensors.values()) {
    const name = nameOf(own, labels ? HEADS[family]! : {});
    if (name !== null)
      tensors.push(stored({ name, shape, data: await base.weights.readF32(own) }, isRoberta));
  }
  await base.close();
  const arch = isModern ? 'modern-bert' : 'bert';
  const length = config['max_position_embeddings']! - (isRoberta ? 2 : 0);
  const own: Metadata = [
    ['context_length', { u32: length }],
    ...keysOf(config, embedding.kind === 'tokens' ? embedding.norm!.eps : 0),
    ['pooling_type', { u32: labels ? 4 : 1 }],
    ...(isModern ? rotaryKeys(config) : []),
    ...(labels
      ? ([['classifier.output_labels', { texts: ['no', 'maybe', 'yes'] }]] as Metadata)
      : []),
  ];
  return {
    metadata: [
      ['general.architecture', { text: arch }],
      ['general.name', { text: family }],
      ['tokenizer.ggml.model', { text: VOCABULARIES[family] ?? 'bert' }],
      ['tokenizer.ggml.token_type_count', { u32: config['type_vocab_size'] ?? 1 }],
      ['tokenizer.ggml.padding_token_id', { u32: config['pad_token_id']! }],
      ...own.map(([key, value]): [string, Value] => [`${arch}.${key}`, value]),
    ],
    tensors,
  };
}
