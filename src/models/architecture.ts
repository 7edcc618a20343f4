import { LoraError } from '../shared/errors';
import { readRope, type Rope } from './rope';

type Config = Readonly<Record<string, unknown>>;

/** A decoder of the Llama family, as its config.json describes it. */
export interface Architecture {
  /** model_type */
  readonly family: string;
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_layers: number;
  readonly num_heads: number;
  readonly num_kv_heads: number;
  readonly head_dim: number;
  readonly norm_eps: number;
  readonly rope: Rope;
  /** The output layer uses the embedding's weight. */
  readonly tied: boolean;
  readonly qkv_bias: boolean;
  readonly o_bias: boolean;
  readonly mlp_bias: boolean;
  /** Keys a query sees, itself included, for each layer; null: all before it. */
  readonly windows: readonly (number | null)[];
}

/** What sets a family apart; everything else stands in config.json. */
interface Family {
  readonly qkv_bias: (config: Config) => boolean;
  readonly o_bias: (config: Config) => boolean;
  readonly mlp_bias: (config: Config) => boolean;
  readonly window: (config: Config, layer: number) => number | null;
}

const no = () => false;
const flag = (key: string) => (config: Config) => config[key] === true;

const FAMILIES: Readonly<Record<string, Family>> = {
  llama: { qkv_bias: flag('attention_bias'), o_bias: flag('attention_bias'), mlp_bias: flag('mlp_bias'), window: () => null },
  mistral: { qkv_bias: no, o_bias: no, mlp_bias: no, window: (config) => optionalCount(config, 'sliding_window') },
  qwen2: { qkv_bias: () => true, o_bias: no, mlp_bias: no, window: qwen2Window },
};

export const KNOWN_FAMILIES = Object.keys(FAMILIES);

/** Reads config.json in either layout. Errors: LoraError('base') naming the key, or the families that are known. */
export function readArchitecture(config: Config, file: string): Architecture {
  const model_type = String(config['model_type']);
  const family = FAMILIES[model_type];
  if (!family) {
    throw new LoraError('base', `The architecture "${model_type}" is not known. Known are: ${KNOWN_FAMILIES.join(', ')}.`, { place: { file, key: 'model_type' } });
  }
  const at = (key: string, missing?: number) => count(config, key, file, missing);
  const hidden_size = at('hidden_size');
  const num_heads = at('num_attention_heads');
  const num_layers = at('num_hidden_layers');
  const head_dim = at('head_dim', hidden_size / num_heads);
  const num_kv_heads = at('num_key_value_heads', num_heads);
  if (num_heads % num_kv_heads !== 0) throw bad(file, 'num_key_value_heads', `${num_kv_heads} does not divide num_attention_heads = ${num_heads}`);
  if (head_dim % 2 !== 0) throw bad(file, 'head_dim', `${head_dim} is odd: rotary embeddings need pairs`);
  if ((config['hidden_act'] ?? 'silu') !== 'silu') throw bad(file, 'hidden_act', `"${String(config['hidden_act'])}" is not supported, only "silu"`);
  return {
    family: model_type,
    vocab_size: at('vocab_size'),
    hidden_size,
    intermediate_size: at('intermediate_size'),
    num_layers,
    num_heads,
    num_kv_heads,
    head_dim,
    norm_eps: positive(config, 'rms_norm_eps', file, 1e-6),
    rope: readRope(config, file),
    tied: config['tie_word_embeddings'] === true,
    qkv_bias: family.qkv_bias(config),
    o_bias: family.o_bias(config),
    mlp_bias: family.mlp_bias(config),
    windows: Array.from({ length: num_layers }, (_, layer) => family.window(config, layer)),
  };
}

/** transformers' Qwen2Config: layer_types decides; older files have use_sliding_window and max_window_layers. */
function qwen2Window(config: Config, layer: number): number | null {
  const types = config['layer_types'];
  const slides = Array.isArray(types)
    ? types[layer] === 'sliding_attention'
    : config['use_sliding_window'] === true && layer >= Number(config['max_window_layers'] ?? 28);
  return slides ? optionalCount(config, 'sliding_window') : null;
}

function optionalCount(config: Config, key: string): number | null {
  const value = config[key];
  return typeof value === 'number' && value > 0 ? value : null;
}

function count(config: Config, key: string, file: string, missing?: number): number {
  const value = config[key] ?? missing;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) throw bad(file, key, `must be a whole number above 0, not ${JSON.stringify(value)}`);
  return value;
}

function positive(config: Config, key: string, file: string, missing: number): number {
  const value = config[key] ?? missing;
  if (typeof value !== 'number' || !(value > 0)) throw bad(file, key, `must be above 0, not ${JSON.stringify(value)}`);
  return value;
}

function bad(file: string, key: string, what: string): LoraError {
  return new LoraError('base', `The model's config is not usable: "${key}" ${what}.`, { place: { file, key } });
}
