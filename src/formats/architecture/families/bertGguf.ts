import { LoraError } from '../../../shared/errors';
import type { GgufFamily, GgufStorage } from '../../gguf/family';
import type { Metadata } from '../../gguf/metadata';

// BERT and its relatives in GGUF files: the encoder, and of some the layers for labels. All have
// one architecture there. Source: llama.cpp, conversion/bert.py.

const ARCH = 'bert';

type Names = ReadonlyMap<string, string>;

/** Names whose modules are under a path. */
export const under = (path: string, names: Names): Names =>
  new Map([...names].map(([gguf, name]) => [gguf, path + name]));

/** @throws LoraError('base') for attention that sees the tokens before it only */
export function refuseCausal(metadata: Metadata, arch: string): void {
  const key = `${arch}.attention.causal`;
  if (!metadata.boolean(key, false)) return;
  throw new LoraError('base', 'The encoder has causal attention, which is not supported.', {
    place: { file: metadata.file, key },
  });
}

/** llama.cpp's numbers of no pooling and of the mean of all tokens. */
const MEANS: readonly number[] = [0, 1];

/** @throws LoraError('base') for sentence embeddings that are not the mean of all tokens */
export function refuseOtherPooling(metadata: Metadata, arch: string): void {
  const key = `${arch}.pooling_type`;
  if (MEANS.includes(metadata.number(key, 1))) return;
  throw new LoraError(
    'base',
    "The model's sentence embeddings are not the mean of all tokens; another pooling is not supported.",
    { place: { file: metadata.file, key }, fix: 'Choose a model such as all-MiniLM-L6-v2.' },
  );
}

/** What the graphs of llama.cpp add or multiply without the factors of an adapter. */
export const UNAPPLIED_OF_ENCODERS =
  /(?:^|\.)(?:embeddings\.(?:position|token_type)_embeddings|pooler\.dense|head\.dense|classifier(?:\.dense|\.out_proj)?)$/;

const typeCount = (metadata: Metadata, missing: number): number =>
  metadata.number('tokenizer.ggml.token_type_count', missing);

const epsOf = (metadata: Metadata): number =>
  metadata.decimal(`${ARCH}.attention.layer_norm_epsilon`, 1e-12);

const paddingOf = (metadata: Metadata, missing: number): number =>
  metadata.number('tokenizer.ggml.padding_token_id', missing);

function bertConfig(metadata: Metadata): Readonly<Record<string, unknown>> {
  refuseCausal(metadata, ARCH);
  return {
    hidden_act: 'gelu',
    layer_norm_eps: epsOf(metadata),
    type_vocab_size: typeCount(metadata, 2),
    pad_token_id: paddingOf(metadata, 0),
  };
}

/** RoBERTa's id of padding, after which its positions begin. */
const ROBERTA_PADDING = 1;

/** The file's length is that of texts; the table of positions has two rows more. */
function robertaConfig(metadata: Metadata): Readonly<Record<string, unknown>> {
  const padding = paddingOf(metadata, ROBERTA_PADDING);
  if (padding !== ROBERTA_PADDING)
    throw new LoraError(
      'base',
      `The padding has the id ${padding}, not ${ROBERTA_PADDING}; with another one, the positions of this model are not known.`,
      {
        place: { file: metadata.file, key: 'tokenizer.ggml.padding_token_id' },
        fix: "Use the model's safetensors folder.",
      },
    );
  return {
    ...bertConfig(metadata),
    type_vocab_size: typeCount(metadata, 1),
    pad_token_id: padding,
    max_position_embeddings: metadata.number(`${ARCH}.context_length`) + 1 + padding,
  };
}

/** Names of config.json that DistilBERT alone has. */
function distilConfig(metadata: Metadata): Readonly<Record<string, unknown>> {
  refuseCausal(metadata, ARCH);
  const at = (key: string) => metadata.number(`${ARCH}.${key}`);
  return {
    activation: 'gelu',
    dim: at('embedding_length'),
    hidden_dim: at('feed_forward_length'),
    n_heads: at('attention.head_count'),
    n_layers: at('block_count'),
    pad_token_id: paddingOf(metadata, 0),
  };
}

const BERT_TOP: Names = new Map([
  ['token_embd.weight', 'embeddings.word_embeddings.weight'],
  ['position_embd.weight', 'embeddings.position_embeddings.weight'],
  ['token_types.weight', 'embeddings.token_type_embeddings.weight'],
  ['token_embd_norm.weight', 'embeddings.LayerNorm.weight'],
  ['token_embd_norm.bias', 'embeddings.LayerNorm.bias'],
]);

const BERT_PARTS: Names = new Map([
  ['attn_q', 'attention.self.query'],
  ['attn_k', 'attention.self.key'],
  ['attn_v', 'attention.self.value'],
  ['attn_output', 'attention.output.dense'],
  ['attn_output_norm', 'attention.output.LayerNorm'],
  ['ffn_up', 'intermediate.dense'],
  ['ffn_down', 'output.dense'],
  ['layer_output_norm', 'output.LayerNorm'],
]);

const DISTIL_PARTS: Names = new Map([
  ['attn_q', 'attention.q_lin'],
  ['attn_k', 'attention.k_lin'],
  ['attn_v', 'attention.v_lin'],
  ['attn_output', 'attention.out_lin'],
  ['attn_output_norm', 'sa_layer_norm'],
  ['ffn_up', 'ffn.lin1'],
  ['ffn_down', 'ffn.lin2'],
  ['layer_output_norm', 'output_layer_norm'],
]);

/** A model whose files have its encoder, for sentence embeddings. */
type Encoder = Pick<GgufFamily, 'model_type' | 'config'> & Partial<GgufFamily>;

const encoder = ({ config, ...own }: Encoder): GgufFamily => ({
  arch: ARCH,
  tasks: ['embedding'],
  top: BERT_TOP,
  layers: 'encoder.layer',
  parts: BERT_PARTS,
  unapplied: UNAPPLIED_OF_ENCODERS,
  partial_rotary: false,
  storage: () => 'plain',
  ...own,
  config: (metadata, ...facts) => {
    refuseOtherPooling(metadata, ARCH);
    return config(metadata, ...facts);
  },
});

/** The same model in transformers' class for labels, whose encoder is under a path. */
const classifier = (
  model: Encoder,
  path: string,
  head: readonly (readonly [string, string])[],
): GgufFamily => {
  const { top, layers, ...own } = encoder(model);
  return {
    ...own,
    tasks: ['seq_cls'],
    top: new Map([...under(path, top), ...head]),
    layers: path + layers,
    config: model.config,
  };
};

const linearNames = (gguf: string, path: string): readonly (readonly [string, string])[] =>
  ['weight', 'bias'].map((kind) => [`${gguf}.${kind}`, `${path}.${kind}`] as const);

const ROBERTA_HEAD = [
  ...linearNames('cls', 'classifier.dense'),
  ...linearNames('cls.output', 'classifier.out_proj'),
];

const robertaStorage = (name: string): GgufStorage =>
  name.endsWith('embeddings.position_embeddings.weight') ? 'after_padding' : 'plain';

function robertaLike(model_type: string): GgufFamily {
  const model: Encoder = { model_type, config: robertaConfig, storage: robertaStorage };
  return { ...encoder(model), labels: classifier(model, 'roberta.', ROBERTA_HEAD) };
}

export const robertaGguf = robertaLike('roberta');
export const xlmRobertaGguf = robertaLike('xlm-roberta');

export const distilbertGguf: GgufFamily = encoder({
  model_type: 'distilbert',
  config: distilConfig,
  top: new Map([...BERT_TOP].filter(([gguf]) => gguf !== 'token_types.weight')),
  layers: 'transformer.layer',
  parts: DISTIL_PARTS,
  labels: 'llama.cpp computes tanh in it, and DistilBERT has ReLU.',
});

const tokenizerOf = (metadata: Metadata): string => metadata.string('tokenizer.ggml.model', ARCH);

const BERT: Encoder = { model_type: 'bert', config: bertConfig };

export const bertGguf: GgufFamily = {
  ...encoder(BERT),
  labels: classifier(BERT, 'bert.', [
    ...linearNames('cls', 'bert.pooler.dense'),
    ...linearNames('cls.output', 'classifier'),
  ]),
  variants: [
    { family: robertaGguf, isOf: (metadata) => tokenizerOf(metadata) === 'gpt2' },
    { family: xlmRobertaGguf, isOf: (metadata) => tokenizerOf(metadata) === 't5' },
    {
      family: distilbertGguf, // without types of tokens
      isOf: (metadata, has) => typeCount(metadata, 2) < 2 && !has('token_types.weight'),
    },
  ],
};
