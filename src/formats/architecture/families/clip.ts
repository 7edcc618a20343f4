import { LoraError } from '../../../shared/errors';
import { isObject } from '../../../shared/values';
import { ConfigReader } from '../config';
import type { Family } from '../family';
import { layerNorm, linear, NO_NORMS, plainAttention, readActivation, readSizes } from '../sizes';
import type {
  AttentionPoolSpec,
  EmbeddingSpec,
  LayerSpec,
  PatchEmbeddingSpec,
  Spec,
  VectorPool,
} from '../spec';
import { heightAndWidth } from './vit';

/** The differences between CLIP (Radford et al. 2021) and SigLIP (Zhai et al. 2023). */
interface Kind {
  readonly family: string;
  readonly activation: string;
  readonly eps: number;
  /** Values of configs that leave them out. */
  readonly text: Readonly<Record<string, number>>;
  readonly images: Readonly<Record<string, number>>;
}

const CLIP: Kind = {
  family: 'clip',
  activation: 'quick_gelu',
  eps: 1e-5,
  text: {
    vocab_size: 49408,
    hidden_size: 512,
    intermediate_size: 2048,
    num_hidden_layers: 12,
    num_attention_heads: 8,
    max_position_embeddings: 77,
    eos_token_id: 49407,
  },
  images: {
    hidden_size: 768,
    intermediate_size: 3072,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    patch_size: 32,
  },
};

const BASE_SIZES = {
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
};

const SIGLIP: Kind = {
  family: 'siglip',
  activation: 'gelu_pytorch_tanh',
  eps: 1e-6,
  text: { ...BASE_SIZES, vocab_size: 32000, max_position_embeddings: 64 },
  images: { ...BASE_SIZES, patch_size: 16 },
};

/** One of the two configs in a config.json, with the family's defaults. */
function towerReader(
  { config, file }: ConfigReader,
  key: 'text_config' | 'vision_config',
  missing: Readonly<Record<string, number>>,
): ConfigReader {
  const given = config[key] ?? {};
  if (!isObject(given))
    throw new LoraError('base', `The model's config is not usable: "${key}" must be an object.`, {
      place: { file, key },
      fix: 'Download the model again.',
    });
  // older CLIP configs have the same settings twice, and those of the second place count
  const older = config[`${key}_dict`];
  const own = Object.entries({ ...given, ...(isObject(older) ? older : {}) });
  return new ConfigReader(
    { ...missing, ...Object.fromEntries(own.filter(([, value]) => value !== null)) },
    file,
  );
}

/** The layers of a tower, whose norms come before the branches. */
function layersOf(reader: ConfigReader, kind: Kind, tower: string): LayerSpec[] {
  const { hidden_size, intermediate_size, num_heads, head_dim, num_layers } = readSizes(
    reader,
    'images',
  );
  const eps = reader.positive('layer_norm_eps', kind.eps);
  return Array.from({ length: num_layers }, (_, i): LayerSpec => {
    const at = `${tower}.encoder.layers.${i}`;
    const part = (name: string) =>
      linear(`${at}.self_attn.${name}`, hidden_size, hidden_size, true);
    return {
      residual: 'sequential',
      attention: plainAttention(
        { num_heads, head_dim },
        { qkv: [part('q_proj'), part('k_proj'), part('v_proj')], o: part('out_proj') },
      ),
      mlp: {
        kind: 'plain',
        activation: readActivation(reader, kind.activation),
        up: linear(`${at}.mlp.fc1`, hidden_size, intermediate_size, true),
        down: linear(`${at}.mlp.fc2`, intermediate_size, hidden_size, true),
      },
      norms: {
        ...NO_NORMS,
        attention_in: layerNorm(`${at}.layer_norm1`, hidden_size, eps),
        mlp_in: layerNorm(`${at}.layer_norm2`, hidden_size, eps),
      },
    };
  });
}

function textEmbedding(reader: ConfigReader): EmbeddingSpec {
  return {
    kind: 'tokens',
    tokens: {
      path: 'text_model.embeddings.token_embedding',
      rows: reader.count('vocab_size'),
    },
    scale: 1,
    positions: {
      path: 'text_model.embeddings.position_embedding',
      rows: reader.count('max_position_embeddings'),
      offset: 0,
    },
    types: null,
    norm: null,
  };
}

function imageEmbedding(reader: ConfigReader, kind: Kind): PatchEmbeddingSpec {
  const at = 'vision_model.embeddings';
  const isClip = kind === CLIP;
  return {
    kind: 'patches',
    path: `${at}.patch_embedding`,
    channels: reader.count('num_channels', 3),
    image_size: heightAndWidth(reader, 'image_size', 224),
    patch_size: heightAndWidth(reader, 'patch_size', 16),
    bias: !isClip,
    cls_token: isClip ? `${at}.class_embedding` : null,
    positions: `${at}.position_embedding.weight`,
    flat: true,
    ...(isClip && {
      norm: layerNorm(
        'vision_model.pre_layrnorm',
        reader.count('hidden_size'),
        reader.positive('layer_norm_eps', kind.eps),
      ),
    }),
  };
}

/** The vision encoder, with the vector that its head makes. */
function imageTower(
  reader: ConfigReader,
  kind: Kind,
  pool: VectorPool,
  projected: number | null,
): Spec {
  const { hidden_size, num_layers } = readSizes(reader, 'images');
  return {
    family: kind.family,
    task: 'contrastive',
    hidden_size,
    vocab_size: 0,
    num_layers,
    causal: false,
    embedding: imageEmbedding(reader, kind),
    layers: layersOf(reader, kind, 'vision_model'),
    final_norm: layerNorm(
      'vision_model.post_layernorm',
      hidden_size,
      reader.positive('layer_norm_eps', kind.eps),
    ),
    head: {
      kind: 'vector',
      pool,
      projection: projected === null ? null : linear('visual_projection', hidden_size, projected),
    },
  };
}

/** The text encoder without its head. */
function textTower(reader: ConfigReader, kind: Kind): Omit<Spec, 'head'> {
  const { hidden_size, num_layers, vocab_size } = readSizes(reader);
  return {
    family: kind.family,
    task: 'contrastive',
    hidden_size,
    vocab_size,
    num_layers,
    causal: kind === CLIP,
    embedding: textEmbedding(reader),
    layers: layersOf(reader, kind, 'text_model'),
    final_norm: layerNorm(
      'text_model.final_layer_norm',
      hidden_size,
      reader.positive('layer_norm_eps', kind.eps),
    ),
  };
}

function clipSpec(reader: ConfigReader): Spec {
  const text = towerReader(reader, 'text_config', CLIP.text);
  const images = towerReader(reader, 'vision_config', CLIP.images);
  const projected = reader.count('projection_dim', 512);
  const tower = textTower(text, CLIP);
  const eos = text.whole('eos_token_id', 49407);
  return {
    ...tower,
    head: {
      kind: 'contrastive',
      loss: 'cross_entropy',
      text: {
        // 2 stands in configs that were written before the id was read from them
        pool: { kind: 'end', end: eos === 2 ? null : eos },
        projection: linear('text_projection', tower.hidden_size, projected),
      },
      images: imageTower(images, CLIP, { kind: 'first' }, projected),
      scale: { name: 'logit_scale', shape: [] },
      bias: null,
      fills: false,
    },
  };
}

function siglipSpec(reader: ConfigReader): Spec {
  const text = towerReader(reader, 'text_config', SIGLIP.text);
  const vision = towerReader(reader, 'vision_config', SIGLIP.images);
  const tower = textTower(text, SIGLIP);
  const projected = text.count('projection_size', tower.hidden_size);
  const images = imageTower(vision, SIGLIP, attentionPool(vision), null);
  if (images.hidden_size !== projected)
    throw text.bad(
      'projection_size',
      `makes vectors of ${projected} numbers of texts, but those of images have ${images.hidden_size}`,
    );
  return {
    ...tower,
    head: {
      kind: 'contrastive',
      loss: 'sigmoid',
      text: {
        pool: { kind: 'last' },
        projection: linear('text_model.head', tower.hidden_size, projected, true),
      },
      images,
      scale: { name: 'logit_scale', shape: [1] },
      bias: { name: 'logit_bias', shape: [1] },
      fills: true,
    },
  };
}

function attentionPool(reader: ConfigReader): AttentionPoolSpec {
  if (!reader.flag('vision_use_head', true))
    throw reader.bad('vision_use_head', 'must be true: images have no vector without the head');
  const { hidden_size, intermediate_size, num_heads } = readSizes(reader, 'images');
  const at = 'vision_model.head';
  return {
    kind: 'attention',
    probe: `${at}.probe`,
    attention: `${at}.attention`,
    num_heads,
    o: linear(`${at}.attention.out_proj`, hidden_size, hidden_size, true),
    norm: layerNorm(`${at}.layernorm`, hidden_size, reader.positive('layer_norm_eps', SIGLIP.eps)),
    up: linear(`${at}.mlp.fc1`, hidden_size, intermediate_size, true),
    down: linear(`${at}.mlp.fc2`, intermediate_size, hidden_size, true),
    activation: readActivation(reader, SIGLIP.activation),
  };
}

const COMMON = {
  tasks: ['contrastive'],
  renames: [[/\.embeddings\.position_ids$/, null]],
  mlx: false,
  gguf: null,
} as const satisfies Partial<Family>;

export const clipFamilies: Readonly<Record<string, Family>> = {
  clip: { ...COMMON, spec: clipSpec, transformersClass: 'CLIP' },
  siglip: { ...COMMON, spec: siglipSpec, transformersClass: 'Siglip' },
};
