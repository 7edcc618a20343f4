import {
  gatedConfig,
  llamaLikeGguf,
  NORMS_AFTER_PARTS,
  rotaryStorage,
  windowConfig,
} from '../../gguf/family';
import { LoraError } from '../../../shared/errors';
import type { ConfigReader } from '../config';
import type { Family } from '../family';
import { GENERATION_TASKS } from '../heads';
import { interleavedAxes } from '../rope';
import type { RopeSpec } from '../spec';
import {
  always,
  attentionBias,
  isSlidingType,
  llamaLike,
  mlpBias,
  never,
  OUTPUT_NORMS,
  ropeOf,
  unlimited,
  windowSize,
  type LlamaModel,
} from './llamaLike';
import { qwen3Vision } from './qwen3Vision';

const mistralWindow = (reader: ConfigReader): number | null =>
  reader.config['sliding_window'] === null ? null : reader.count('sliding_window', 4096);

/** By layer_types; older configs have use_sliding_window and max_window_layers instead. */
function qwenWindow(reader: ConfigReader, layer: number, num_layers: number): number | null {
  const isSliding = reader.list('layer_types', num_layers)
    ? isSlidingType(reader, layer, num_layers)
    : reader.flag('use_sliding_window') && layer >= reader.whole('max_window_layers', 28);
  return isSliding ? windowSize(reader) : null;
}

function smollm3Window(reader: ConfigReader, layer: number, num_layers: number): number | null {
  const isSliding = reader.flag('use_sliding_window') && isSlidingType(reader, layer, num_layers);
  return isSliding ? windowSize(reader) : null;
}

/** Every fourth layer has no rotary embeddings, unless the config lists the layers that have. */
function smollm3Rope(model: LlamaModel, layer: number): RopeSpec | null {
  const { reader, sizes } = model;
  const hasRope = reader.list('no_rope_layers', sizes.num_layers);
  const isRotated = hasRope
    ? Boolean(hasRope[layer])
    : (layer + 1) % reader.count('no_rope_layer_interval', 4) !== 0;
  return isRotated ? ropeOf(model) : null;
}

/** Without a list, every fourth layer of OLMo 3 has no window. */
const OLMO3_PERIOD = 4;

/** llama.cpp calls OLMo 3 an OLMo 2 with windows. Their layers have no scaling. */
export const OLMO_GGUF = llamaLikeGguf('olmo2', {
  parts: NORMS_AFTER_PARTS,
  config: (metadata, has) => {
    const windows = windowConfig(metadata, 'olmo2');
    const isOlmo3 = windows['sliding_window'] !== null;
    const period = windows['sliding_window_pattern'] ?? OLMO3_PERIOD;
    if (period !== OLMO3_PERIOD)
      throw new LoraError('base', 'Another layer than every fourth has no window.', {
        place: { file: metadata.file, key: 'olmo2.attention.sliding_window_pattern' },
        fix: "Use the model's safetensors folder.",
      });
    return { ...gatedConfig(metadata, has), ...(isOlmo3 && { model_type: 'olmo3', ...windows }) };
  },
  rope: (metadata, parameters) => {
    const attention_factor = metadata.decimal('olmo2.rope.scaling.yarn_attn_factor', 0);
    const scaled = { ...parameters, ...(attention_factor > 0 && { attention_factor }) };
    if (windowConfig(metadata, 'olmo2')['sliding_window'] === null) return scaled;
    const plain = { rope_theta: parameters['rope_theta'], rope_type: 'default' };
    return { full_attention: scaled, sliding_attention: plain };
  },
  yarn_keys: ['yarn_attn_factor'],
});

const LLAMA_GGUF = llamaLikeGguf('llama', { storage: rotaryStorage });

export const llamaFamilies: Readonly<Record<string, Family>> = {
  llama: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      mlp_bias: mlpBias,
      window: unlimited,
    }),
    transformersClass: 'Llama',
    mlx: true,
    gguf: LLAMA_GGUF,
  },
  mistral: {
    ...llamaLike({ qkv_bias: never, o_bias: never, window: mistralWindow }),
    transformersClass: 'Mistral',
    mlx: true,
    gguf: LLAMA_GGUF, // llama.cpp doesn't distinguish the two
  },
  qwen2: {
    ...llamaLike({ qkv_bias: always, o_bias: never, window: qwenWindow }),
    transformersClass: 'Qwen2',
    mlx: true,
    gguf: llamaLikeGguf('qwen2'),
  },
  qwen3: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      window: qwenWindow,
      qk_norm: 'head',
    }),
    transformersClass: 'Qwen3',
    mlx: true,
    gguf: llamaLikeGguf('qwen3'),
  },
  qwen3_vl_text: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      window: unlimited,
      qk_norm: 'head',
      theta: 500_000,
      rope: (model) => ({ ...ropeOf(model), axes: interleavedAxes(model.reader) }),
      head_dim: 128,
    }),
    tasks: ['causal_lm'],
    transformersClass: 'Qwen3VL',
    taskClasses: { causal_lm: 'Qwen3VLForConditionalGeneration' },
    vision: { qwen3_vl: qwen3Vision },
    mlx: false,
    gguf: null,
  },
  olmo2: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      window: unlimited,
      qk_norm: 'all',
      norms: OUTPUT_NORMS,
      eps: 1e-5,
      padding: 1,
    }),
    tasks: GENERATION_TASKS,
    transformersClass: 'Olmo2',
    mlx: true,
    gguf: OLMO_GGUF,
  },
  smollm3: {
    ...llamaLike({
      qkv_bias: attentionBias,
      o_bias: attentionBias,
      mlp_bias: mlpBias,
      window: smollm3Window,
      rope: smollm3Rope,
      theta: 2_000_000,
      padding: 128_004,
      tied: true,
    }),
    transformersClass: 'SmolLM3',
    mlx: true,
    gguf: llamaLikeGguf('smollm3', { storage: rotaryStorage }),
  },
};
