import type { TargetableModule } from '../lora/types';
import { LoraError, type Problem } from '../shared/errors';
import type { TensorInfo } from './types';

type Config = Readonly<Record<string, unknown>>;

/** model_type of the decoders that can be read, in config.json's words. */
export const SUPPORTED_MODEL_TYPES = ['llama', 'mistral', 'qwen2'] as const;
export type SupportedModelType = (typeof SUPPORTED_MODEL_TYPES)[number];

/** The sizes of a decoder of the Llama family, as its config.json gives them. */
export interface DecoderShape {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_layers: number;
  readonly num_heads: number;
  readonly num_kv_heads: number;
  readonly head_dim: number;
  /** The output layer uses the embedding's weight. */
  readonly tied: boolean;
  readonly qkv_bias: boolean;
  readonly o_bias: boolean;
  readonly mlp_bias: boolean;
}

/** Reads a decoder's sizes. Errors: LoraError('base') naming the key, or the architectures that are known. */
export function decoderShape(config: Config, file: string): DecoderShape {
  const model_type = knownModelType(config, file);
  const at = (key: string, missing?: number) => count(config, key, file, missing);
  const hidden_size = at('hidden_size');
  const num_heads = at('num_attention_heads');
  const num_kv_heads = at('num_key_value_heads', num_heads);
  if (typeof config['head_dim'] !== 'number' && hidden_size % num_heads !== 0) {
    throw bad(file, 'num_attention_heads', `${num_heads} does not divide hidden_size = ${hidden_size}, and there is no head_dim`);
  }
  if (num_heads % num_kv_heads !== 0) throw bad(file, 'num_key_value_heads', `${num_kv_heads} does not divide num_attention_heads = ${num_heads}`);
  const biased = (key: string) => model_type === 'llama' && config[key] === true;
  return {
    vocab_size: at('vocab_size'), hidden_size, intermediate_size: at('intermediate_size'), num_layers: count(config, 'num_hidden_layers', file, undefined, MAX_LAYERS), num_heads, num_kv_heads,
    head_dim: at('head_dim', hidden_size / num_heads), tied: config['tie_word_embeddings'] === true,
    qkv_bias: model_type === 'qwen2' || biased('attention_bias'), o_bias: biased('attention_bias'), mlp_bias: biased('mlp_bias'),
  };
}

function knownModelType(config: Config, file: string): SupportedModelType {
  const { model_type, quantization_config } = config;
  const known = SUPPORTED_MODEL_TYPES.find((type) => type === model_type);
  if (!known) {
    const what = model_type === undefined ? 'The config does not say which architecture the model has (model_type)' : `The architecture ${JSON.stringify(model_type)} is not known`;
    throw new LoraError('base', `${what}. Known are: ${SUPPORTED_MODEL_TYPES.join(', ')}.`, { place: { file, key: 'model_type' } });
  }
  if (quantization_config !== undefined && quantization_config !== null) {
    const method = (quantization_config as Config)['quant_method'];
    throw new LoraError('base', `The weights are quantised${typeof method === 'string' ? ` by ${method}` : ''}, which is not supported in safetensors files.`, {
      place: { file, key: 'quantization_config' }, fix: 'Use the model in bf16, f16 or f32, or a .gguf file of it.',
    });
  }
  return known;
}

/** The layers that LoRA can adapt, in the model's order, under PEFT's names. The output layer counts where it is tied, too. */
export function decoderModules(shape: DecoderShape): TargetableModule[] {
  const { hidden_size, intermediate_size, vocab_size } = shape;
  const q = shape.num_heads * shape.head_dim;
  const kv = shape.num_kv_heads * shape.head_dim;
  const linear = (path: string, in_features: number, out_features: number): TargetableModule => ({ path, kind: 'linear', in_features, out_features, is_output: path === 'lm_head' });
  const layer = (at: string) => [
    linear(`${at}.self_attn.q_proj`, hidden_size, q),
    linear(`${at}.self_attn.k_proj`, hidden_size, kv),
    linear(`${at}.self_attn.v_proj`, hidden_size, kv),
    linear(`${at}.self_attn.o_proj`, q, hidden_size),
    linear(`${at}.mlp.gate_proj`, hidden_size, intermediate_size),
    linear(`${at}.mlp.up_proj`, hidden_size, intermediate_size),
    linear(`${at}.mlp.down_proj`, intermediate_size, hidden_size),
  ];
  return [
    { path: 'model.embed_tokens', kind: 'embedding', in_features: vocab_size, out_features: hidden_size, is_output: false },
    ...Array.from({ length: shape.num_layers }, (_, i) => layer(`model.layers.${i}`)).flat(),
    linear('lm_head', hidden_size, vocab_size),
  ];
}

/** The tensors that a checkpoint of this shape must hold, under its names. */
export function decoderTensors(shape: DecoderShape): Pick<TensorInfo, 'name' | 'shape'>[] {
  const layers = Array.from({ length: shape.num_layers }, (_, i) => `model.layers.${i}`);
  const norms = [...layers.flatMap((at) => [`${at}.input_layernorm.weight`, `${at}.post_attention_layernorm.weight`]), 'model.norm.weight'];
  const biased = (path: string) => (path.includes('.mlp.') ? shape.mlp_bias : path.endsWith('.o_proj') ? shape.o_bias : path.includes('.self_attn.') && shape.qkv_bias);
  const own = decoderModules(shape).filter((m) => !(m.is_output && shape.tied));
  return [
    ...own.map((m) => ({ name: `${m.path}.weight`, shape: m.kind === 'embedding' ? [m.in_features, m.out_features] : [m.out_features, m.in_features] })),
    ...own.filter((m) => biased(m.path)).map((m) => ({ name: `${m.path}.bias`, shape: [m.out_features] })),
    ...norms.map((name) => ({ name, shape: [shape.hidden_size] })),
  ];
}

const MAX_PROBLEMS = 20;

/** Holds a checkpoint's tensors against its config. Errors: LoraError('base') with each tensor that is missing or has another shape (the first 20). */
export function checkTensors(tensors: ReadonlyMap<string, TensorInfo>, shape: DecoderShape, file: string): void {
  const problems = decoderTensors(shape).flatMap(({ name, shape: wanted }): Problem[] => {
    const found = tensors.get(name);
    if (found && found.shape.join() === wanted.join()) return [];
    const message = found ? `Its shape is [${found.shape.join(', ')}], the config asks for [${wanted.join(', ')}].` : 'It is missing.';
    return [{ severity: 'error', message, place: { file, tensor: name } }];
  });
  if (problems.length === 0) return;
  throw new LoraError('base', `The weights do not fit the config: ${problems.length} of ${decoderTensors(shape).length} tensors are missing or have another shape.`, {
    place: { file }, problems: problems.slice(0, MAX_PROBLEMS), fix: 'Download the model again, all of its files, and check that they belong together.',
  });
}

/** So that a forged config cannot ask for names without end. */
const MAX_LAYERS = 4096;
const MAX_COUNT = 2 ** 31;

function count(config: Config, key: string, file: string, missing?: number, limit = MAX_COUNT): number {
  const value = config[key] ?? missing;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0 && value <= limit) return value;
  throw bad(file, key, value === undefined ? 'is missing' : `must be a whole number from 1 to ${limit}, not ${JSON.stringify(value)}`);
}

function bad(file: string, key: string, what: string): LoraError {
  return new LoraError('base', `The model's config is not usable: "${key}" ${what}.`, { place: { file, key } });
}
