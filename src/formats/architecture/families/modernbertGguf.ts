import { LoraError } from '../../../shared/errors';
import type { GgufFamily } from '../../gguf/family';
import type { Metadata } from '../../gguf/metadata';
import { refuseCausal, refuseOtherPooling, under, UNAPPLIED_OF_ENCODERS } from './bertGguf';

// ModernBERT in GGUF files. Source: llama.cpp, conversion/bert.py and src/models/modern-bert.cpp.

const ARCH = 'modern-bert';

const at = (key: string): string => `${ARCH}.${key}`;

/** Layers that see the whole text are each of so many, from the first one, where no list says. */
const PERIOD = 3;

function layerTypes(metadata: Metadata): readonly string[] {
  const key = at('attention.sliding_window_pattern');
  const isLocal = metadata.isList(key)
    ? metadata.booleans(key)
    : Array.from(
        { length: metadata.number(at('block_count')) },
        (_, i) => i % metadata.number(key, PERIOD) !== 0,
      );
  return isLocal.map((own) => (own ? 'sliding_attention' : 'full_attention'));
}

/** llama.cpp's names of activations that its graph has here. */
const ACTIVATIONS: readonly string[] = ['gelu', 'silu'];

/** @throws LoraError('base') for an activation that llama.cpp does not compute as it is named */
function activationOf(metadata: Metadata): string {
  const key = at('hidden_activation');
  const name = metadata.string(key, 'gelu');
  if (ACTIVATIONS.includes(name)) return name;
  throw new LoraError('base', `The activation ${JSON.stringify(name)} is not supported.`, {
    place: { file: metadata.file, key },
  });
}

function encoderConfig(metadata: Metadata): Readonly<Record<string, unknown>> {
  refuseCausal(metadata, ARCH);
  return {
    hidden_activation: activationOf(metadata),
    norm_eps: metadata.decimal(at('attention.layer_norm_epsilon'), 1e-5),
    norm_bias: false,
    attention_bias: false,
    mlp_bias: false,
    local_attention: metadata.number(at('attention.sliding_window')),
    layer_types: layerTypes(metadata),
    pad_token_id: metadata.number('tokenizer.ggml.padding_token_id', 0),
  };
}

/** llama.cpp's numbers of poolings of a classifier's input. */
const POOLINGS: Readonly<Record<number, string>> = { 1: 'mean', 2: 'cls' };

function classifierConfig(metadata: Metadata): Readonly<Record<string, unknown>> {
  const key = at('classifier.pooling_type');
  const number = metadata.number(key, 1);
  const classifier_pooling = POOLINGS[number];
  if (classifier_pooling === undefined)
    throw new LoraError('base', `The pooling ${number} of the classifier is not supported.`, {
      place: { file: metadata.file, key },
      fix: "Use the model's safetensors folder.",
    });
  return {
    ...encoderConfig(metadata),
    classifier_pooling,
    classifier_bias: false,
    classifier_activation: 'gelu',
  };
}

/** Rotations of layers that see a window have a base of their own. */
function ropeOf(metadata: Metadata): Readonly<Record<string, unknown>> {
  const theta = (key: string, missing: number) => ({
    rope_type: 'default',
    rope_theta: metadata.number(at(key), missing),
  });
  return {
    full_attention: theta('rope.freq_base', 160_000),
    sliding_attention: theta('rope.freq_base_swa', 10_000),
  };
}

const TOP: ReadonlyMap<string, string> = new Map([
  ['token_embd.weight', 'embeddings.tok_embeddings.weight'],
  ['token_embd_norm.weight', 'embeddings.norm.weight'],
  ['output_norm.weight', 'final_norm.weight'],
]);

const encoder: GgufFamily = {
  arch: ARCH,
  model_type: 'modernbert',
  tasks: ['embedding'],
  top: TOP,
  layers: 'layers',
  parts: new Map([
    ['attn_norm', 'attn_norm'],
    ['attn_qkv', 'attn.Wqkv'],
    ['attn_output', 'attn.Wo'],
    ['ffn_norm', 'mlp_norm'],
    ['ffn_up', 'mlp.Wi'],
    ['ffn_down', 'mlp.Wo'],
  ]),
  unapplied: UNAPPLIED_OF_ENCODERS,
  partial_rotary: false,
  storage: () => 'plain',
  whole_rope: ropeOf,
  config: (metadata) => {
    refuseOtherPooling(metadata, ARCH);
    return encoderConfig(metadata);
  },
};

export const modernbertGguf: GgufFamily = {
  ...encoder,
  labels: {
    ...encoder,
    tasks: ['seq_cls'],
    top: new Map([
      ...under('model.', TOP),
      ['cls.weight', 'head.dense.weight'],
      ['cls.norm.weight', 'head.norm.weight'],
      ['cls.output.weight', 'classifier.weight'],
      ['cls.output.bias', 'classifier.bias'],
    ]),
    layers: 'model.layers',
    config: classifierConfig,
  },
};
