import {
  isConvolution,
  type Adapter,
  type LoraFactors,
  type TrainedTensor,
} from '../../lora/adapter';
import type { StackedFactors } from '../../lora/experts';

/** The trained tensors of an adapted module. */
export type Factor = 'A' | 'B' | 'magnitude';

/** A tensor that is a factor of an adapted module. */
export interface FactorRole {
  readonly role: 'factor';
  readonly factor: Factor;
  /** Whether the module is an embedding; null: the name doesn't say (magnitudes). */
  readonly embedding: boolean | null;
  readonly path: string;
}

/**
 * The role of a tensor of adapter_model.safetensors.
 *
 * - base: the frozen weight of an adapted embedding or output layer, which PEFT saves too.
 * - trained: a fully trained tensor of the model (modules_to_save, biases).
 * - tokens: rows of an embedding or output layer (trainable_token_indices).
 * - variant: a part of a variant of LoRA that is not supported.
 */
export type TensorRole =
  | FactorRole
  | { readonly role: 'base'; readonly path: string }
  | { readonly role: 'trained'; readonly path: string; readonly tensor: 'weight' | 'bias' }
  | { readonly role: 'tokens'; readonly path: string }
  | { readonly role: 'variant'; readonly path: string; readonly name: string }
  | { readonly role: 'unknown' };

/** Names with the adapter's name, as in a model's state_dict, or without it, as PEFT saves them. */
const LINEAR = /^(.+)\.lora_([AB])(?:\.[^.]+)?\.weight$/;
const EMBEDDING = /^(.+)\.lora_embedding_([AB])(?:\.[^.]+)?$/;
const TOKENS = /^(.+)\.token_adapter\.trainable_tokens_delta(?:\.[^.]+)?$/;
const MAGNITUDE = /^(.+)\.lora_magnitude_vector(?:\.[^.]+)*$/;
/** Tokens that are trained wrap the layer once more. */
const BASE_LAYER = /^(.+?)(?:\.token_adapter)?\.base_layer$/;
const SAVED = /^(.+)\.modules_to_save(?:\.[^.]+)?\.(weight|bias)$/;
const PLAIN = /^(.+)\.(weight|bias)$/;
const PREFIX = 'base_model.model.';

/**
 * The role of a tensor of adapter_model.safetensors, by its name. Source: PEFT's checkpoint format.
 */
export function roleOf(name: string): TensorRole {
  const unprefixed = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
  return (
    factorRole(unprefixed, LINEAR, false) ??
    factorRole(unprefixed, EMBEDDING, true) ??
    magnitudeRole(unprefixed) ??
    tokensRole(unprefixed) ??
    variantRole(unprefixed) ??
    modelTensorRole(unprefixed)
  );
}

function factorRole(name: string, expression: RegExp, embedding: boolean): FactorRole | null {
  const [, path, factor] = expression.exec(name) ?? [];
  if (path === undefined) return null;
  return { role: 'factor', factor: factor as 'A' | 'B', embedding, path };
}

function magnitudeRole(name: string): FactorRole | null {
  const [, path] = MAGNITUDE.exec(name) ?? [];
  return path === undefined ? null : { role: 'factor', factor: 'magnitude', embedding: null, path };
}

function tokensRole(name: string): TensorRole | null {
  const [, path] = TOKENS.exec(name) ?? [];
  return path === undefined ? null : { role: 'tokens', path };
}

/** Parts of adapters that change what they compute, and the names of these variants. */
const VARIANTS: readonly (readonly [RegExp, string])[] = [
  [/^(.+)\.lora_[AB](?:\.[^.]+)?\.bias$/, 'LoRA with a bias'],
  [/^(.+)\.lora_diag(?:\.[^.]+)*$/, 'KaSA'],
  [
    /^(.+?)(?:\.token_adapter)?\.trainable_tokens_(?:delta|original)(?:\.[^.]+)*$/,
    'trainable tokens',
  ],
];

function variantRole(unprefixed: string): TensorRole | null {
  for (const [expression, name] of VARIANTS) {
    const [, path] = expression.exec(unprefixed) ?? [];
    if (path !== undefined) return { role: 'variant', path, name };
  }
  return null;
}

/** The adapter that a factor belongs to, as in a model's state_dict; '' without it. */
const ADAPTER_NAME =
  /\.lora_(?:(?:embedding_)?[AB]|magnitude_vector)(?:\.(?!weight$)([^.]+))?(?:\.weight)?$/;

/** The names of the adapters whose factors are in a file, each with one of its tensors. */
export function adapterNames(tensors: Iterable<string>): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const tensor of tensors) {
    const found = ADAPTER_NAME.exec(tensor);
    const name = found?.[1] ?? '';
    if (found && !names.has(name)) names.set(name, tensor);
  }
  return names;
}

function modelTensorRole(name: string): TensorRole {
  if (name.includes('lora_')) return { role: 'unknown' };
  const [, path, tensor] = SAVED.exec(name) ?? PLAIN.exec(name) ?? [];
  if (path === undefined) return { role: 'unknown' };
  if (path.endsWith('.original_module'))
    return { role: 'base', path: path.slice(0, -'.original_module'.length) };
  const base = BASE_LAYER.exec(path)?.[1] ?? null;
  if (base !== null && tensor === 'weight') return { role: 'base', path: base };
  return { role: 'trained', path: base ?? path, tensor: tensor as 'weight' | 'bias' };
}

/** The name of a factor in adapter_model.safetensors. */
export function tensorName(
  { path, kind }: Pick<LoraFactors, 'path' | 'kind'>,
  factor: Factor,
): string {
  if (factor === 'magnitude') return `${PREFIX}${path}.lora_magnitude_vector`;
  return kind === 'embedding'
    ? `${PREFIX}${path}.lora_embedding_${factor}`
    : `${PREFIX}${path}.lora_${factor}.weight`;
}

/**
 * The shape of a factor in adapter_model.safetensors. An embedding's in_features: the vocabulary.
 */
export function tensorShape(
  { kind, r, in_features, out_features, kernel }: LoraFactors,
  factor: Factor,
): readonly number[] {
  if (isConvolution({ kind })) {
    const sizes = kernel ?? [1, 1];
    const ones = sizes.map(() => 1);
    return {
      A: [r, in_features / sizes.reduce((product, n) => product * n, 1), ...sizes],
      B: [out_features, r, ...ones],
      magnitude: [1, out_features, ...ones],
    }[factor];
  }
  return { A: [r, in_features], B: [out_features, r], magnitude: [out_features] }[factor];
}

/** The name of a trained tensor; those of an adapted layer are below `base_layer`. */
export function trainedName(
  { name, rows }: Pick<TrainedTensor, 'name' | 'rows'>,
  { modules }: Pick<Adapter, 'modules'>,
): string {
  const at = name.lastIndexOf('.');
  const path = name.slice(0, at);
  if (rows) return `${PREFIX}${path}.token_adapter.trainable_tokens_delta`;
  return modules.some((m) => m.path === path)
    ? `${PREFIX}${path}.base_layer${name.slice(at)}`
    : PREFIX + name;
}

/** The name of a factor of a parameter of experts; `nested`: the other one has factors, too. */
export function stackedName(
  { module, parameter }: Pick<StackedFactors, 'module' | 'parameter'>,
  factor: 'A' | 'B',
  nested: boolean,
): string {
  const inner = nested && parameter === 'gate_up_proj' ? '.base_layer' : '';
  return `${PREFIX}${module}${inner}.lora_${factor}.weight`;
}

/** The name of the frozen weight of an adapted embedding or output layer. */
export const baseLayerName = (path: string): string => `${PREFIX}${path}.base_layer.weight`;
