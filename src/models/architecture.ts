import { decoderShape, type DecoderShape } from '../formats/decoder';
import { LoraError } from '../shared/errors';
import { readRope, type Rope } from './rope';

type Config = Readonly<Record<string, unknown>>;

/** A decoder of the Llama family, as its config.json describes it. */
export interface Architecture extends DecoderShape {
  /** model_type */
  readonly family: string;
  readonly norm_eps: number;
  readonly rope: Rope;
  /** Keys a query sees, itself included, for each layer; null: all before it. */
  readonly windows: readonly (number | null)[];
}

/** Where the families' attention differs beyond what config.json says alike in all of them. */
const WINDOWS: Readonly<Record<string, (config: Config, layer: number) => number | null>> = {
  llama: () => null,
  mistral: (config) => windowSize(config),
  qwen2: qwen2Window,
};

export const KNOWN_FAMILIES = Object.keys(WINDOWS);

/** Reads config.json in either layout. Errors: LoraError('base') naming the key, or the families that are known. */
export function readArchitecture(config: Config, file: string): Architecture {
  const shape = decoderShape(config, file);
  const family = String(config['model_type']);
  const bad = (key: string, what: string) => new LoraError('base', `The model's config is not usable: "${key}" ${what}.`, { place: { file, key } });
  if (shape.head_dim % 2 !== 0) throw bad('head_dim', `is ${shape.head_dim}, but rotary embeddings need an even one`);
  const { hidden_act = 'silu', rms_norm_eps = 1e-6 } = config;
  if (hidden_act !== 'silu') throw bad('hidden_act', `must be "silu", not ${JSON.stringify(hidden_act)}`);
  if (typeof rms_norm_eps !== 'number' || !(rms_norm_eps > 0)) throw bad('rms_norm_eps', `must be above 0, not ${JSON.stringify(rms_norm_eps)}`);
  return {
    ...shape, family, norm_eps: rms_norm_eps, rope: readRope(config, file),
    windows: Array.from({ length: shape.num_layers }, (_, layer) => WINDOWS[family]?.(config, layer) ?? null),
  };
}

/** transformers' Qwen2Config: layer_types decides; older files have use_sliding_window and max_window_layers. */
function qwen2Window(config: Config, layer: number): number | null {
  const types = config['layer_types'];
  const slides = Array.isArray(types)
    ? types[layer] === 'sliding_attention'
    : config['use_sliding_window'] === true && layer >= Number(config['max_window_layers'] ?? 28);
  return slides ? windowSize(config) : null;
}

function windowSize({ sliding_window }: Config): number | null {
  return typeof sliding_window === 'number' && sliding_window > 0 ? sliding_window : null;
}
