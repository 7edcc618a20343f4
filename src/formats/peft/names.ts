import type { Adapter, LoraFactors, TrainedTensor } from '../../lora/adapter';

export type Factor = 'A' | 'B' | 'magnitude';

export interface FactorRole {
  readonly role: 'factor';
  readonly factor: Factor;
  /** A and B of embeddings have names of their own; null: the name does not tell. */
  readonly embedding: boolean | null;
  readonly path: string;
}

/**
 * What a tensor of adapter_model.safetensors is. base: PEFT saves the frozen weight of an adapted
 * embedding or output layer too. trained: a tensor of the model, trained whole.
 */
export type TensorRole =
  | FactorRole
  | { readonly role: 'base'; readonly path: string }
  | { readonly role: 'trained'; readonly path: string; readonly tensor: 'weight' | 'bias' }
  | { readonly role: 'unknown' };

/** With the adapter's own name, as a model's state has it, or without, as PEFT saves it. */
const LINEAR = /^(.+)\.lora_([AB])(?:\.[^.]+)?\.weight$/;
const EMBEDDING = /^(.+)\.lora_embedding_([AB])(?:\.[^.]+)?$/;
const MAGNITUDE = /^(.+)\.lora_magnitude_vector(?:\.[^.]+)*$/;
const SAVED = /^(.+)\.modules_to_save(?:\.[^.]+)?\.(weight|bias)$/;
const PLAIN = /^(.+)\.(weight|bias)$/;
const PREFIX = 'base_model.model.';

export function roleOf(name: string): TensorRole {
  const own = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
  for (const [expression, embedding] of [
    [LINEAR, false],
    [EMBEDDING, true],
  ] as const) {
    const [, path, factor] = expression.exec(own) ?? [];
    if (path !== undefined) return { role: 'factor', factor: factor as 'A' | 'B', embedding, path };
  }
  const [, magnitude] = MAGNITUDE.exec(own) ?? [];
  if (magnitude !== undefined)
    return { role: 'factor', factor: 'magnitude', embedding: null, path: magnitude };
  if (own.includes('lora_')) return { role: 'unknown' };
  const [, path, tensor] = SAVED.exec(own) ?? PLAIN.exec(own) ?? [];
  if (path === undefined) return { role: 'unknown' };
  if (path.endsWith('.original_module'))
    return { role: 'base', path: path.slice(0, -'.original_module'.length) };
  const base = path.endsWith('.base_layer') ? path.slice(0, -'.base_layer'.length) : null;
  if (base !== null && tensor === 'weight') return { role: 'base', path: base };
  return { role: 'trained', path: base ?? path, tensor: tensor as 'weight' | 'bias' };
}

/** The name of a factor in PEFT's file. */
export function tensorName(
  { path, kind }: Pick<LoraFactors, 'path' | 'kind'>,
  factor: Factor,
): string {
  if (factor === 'magnitude') return `${PREFIX}${path}.lora_magnitude_vector`;
  return kind === 'embedding'
    ? `${PREFIX}${path}.lora_embedding_${factor}`
    : `${PREFIX}${path}.lora_${factor}.weight`;
}

/** An embedding has a linear layer's form: its input is the vocabulary. */
export function tensorShape(
  { kind, r, in_features, out_features, kernel }: LoraFactors,
  factor: Factor,
): readonly number[] {
  if (kind === 'conv2d') {
    const [height, width] = kernel ?? [1, 1];
    return {
      A: [r, in_features / (height * width), height, width],
      B: [out_features, r, 1, 1],
      magnitude: [1, out_features, 1, 1],
    }[factor];
  }
  return { A: [r, in_features], B: [out_features, r], magnitude: [out_features] }[factor];
}

/**
 * The name of a tensor that is trained whole: an adapted layer's own tensors stand below
 * `base_layer`.
 */
export function trainedName(
  { name }: Pick<TrainedTensor, 'name'>,
  { modules }: Pick<Adapter, 'modules'>,
): string {
  const at = name.lastIndexOf('.');
  const path = name.slice(0, at);
  return modules.some((m) => m.path === path)
    ? `${PREFIX}${path}.base_layer${name.slice(at)}`
    : PREFIX + name;
}

/** The frozen weight of an adapted embedding or output layer. */
export const baseLayerName = (path: string): string => `${PREFIX}${path}.base_layer.weight`;
