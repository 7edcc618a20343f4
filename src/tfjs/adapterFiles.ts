import { adapterConfigText } from '../formats/peft/configText';
import { tensorName } from '../formats/peft/names';
import { headerLength, parseHeader, type StoredTensor } from '../formats/safetensors/header';
import { scalingOf } from '../lora/adapter';
import { exactPattern } from '../lora/exactPattern';
import type { LoraFactors } from '../lora/adapter';
import { isObject } from '../shared/values';

/** The settings of an adapter that this library makes and reads. */
export interface AdapterSettings {
  readonly r: number;
  readonly lora_alpha: number;
  readonly use_rslora: boolean;
}

/** The files of an adapter in memory. */
export interface AdapterContent {
  readonly config: string;
  readonly weights: Uint8Array;
}

interface Factors extends Pick<
  LoraFactors,
  'path' | 'kind' | 'r' | 'A' | 'B' | 'in_features' | 'out_features'
> {
  readonly lora_alpha: number;
}

/** An adapter as PEFT's files: adapter_config.json and adapter_model.safetensors. */
export function writeAdapterFiles(
  modules: readonly Factors[],
  settings: AdapterSettings,
): AdapterContent {
  const config = adapterConfigText(
    {
      ...settings,
      lora_dropout: 0,
      target_modules: modules.map((own) => own.path),
      use_dora: false,
      bias: 'none',
      modules_to_save: null,
      fan_in_fan_out: false,
      base_model_name_or_path: null,
      layers_to_transform: null,
      layers_pattern: null,
      rank_pattern: exactPattern(
        modules.map((own) => [own.path, own.r]),
        settings.r,
      ),
      alpha_pattern: exactPattern(
        modules.map((own) => [own.path, own.lora_alpha]),
        settings.lora_alpha,
      ),
      exclude_modules: null,
      raw: { layers_model: { format: 'tensorflow.js', task: null, pixel_range: null } },
    },
    null,
  );
  const tensors = modules.flatMap((own) => [
    { name: tensorName(own, 'A'), shape: [own.r, own.in_features], data: own.A },
    { name: tensorName(own, 'B'), shape: [own.out_features, own.r], data: own.B },
  ]);
  return { config, weights: safetensors(tensors) };
}

interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Format: README of safetensors. Tensors are sorted by name, as its library does. */
function safetensors(tensors: readonly NamedTensor[]): Uint8Array {
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const { name, shape, data } of sorted) {
    header[name] = { dtype: 'F32', shape, data_offsets: [end, (end += data.byteLength)] };
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const start = 8 + Math.ceil(text.length / 8) * 8;
  const file = new Uint8Array(start + end).fill(0x20, 8, start);
  new DataView(file.buffer).setBigUint64(0, BigInt(start - 8), true);
  file.set(text, 8);
  let at = start;
  for (const { data } of sorted) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

/** An adapter that was read: its factors by the names of their modules. */
export interface ReadFiles {
  readonly settings: AdapterSettings;
  readonly modules: ReadonlyMap<string, ReadFactors>;
}

/** The factors of a module, with their scale. */
export interface ReadFactors {
  readonly r: number;
  readonly lora_alpha: number;
  readonly scaling: number;
  readonly A: NamedTensor;
  readonly B: NamedTensor;
}

/** Keys whose adapters compute something else. */
const UNSUPPORTED = [
  'use_dora',
  'modules_to_save',
  'trainable_token_indices',
  'lora_bias',
] as const;
const FILE = 'adapter_model.safetensors';

/**
 * Reads what `writeAdapterFiles` or a training run of a model.json wrote.
 *
 * @throws Error naming the key or the tensor that cannot be used.
 */
export function readAdapterFiles({ config, weights }: AdapterContent): ReadFiles {
  const values = parsed(config);
  const settings = settingsOf(values);
  const size = weights.byteLength;
  const source = { file: FILE, size, area: 'adapter' } as const;
  const start = 8 + headerLength(weights, source);
  const text = new TextDecoder('utf-8', { fatal: true }).decode(weights.subarray(8, start));
  const { tensors } = parseHeader(text, start, source);
  const modules = new Map<string, ReadFactors>();
  for (const [path, { A, B }] of pairs(tensors)) {
    const r = A?.shape[0] ?? 0;
    if (!A || !B || r === 0 || B.shape[1] !== r || A.shape.length !== 2 || B.shape.length !== 2)
      throw new Error(`${FILE}: the factors of ${path} do not belong together.`);
    const lora_alpha = patternValue(values['alpha_pattern'], path) ?? settings.lora_alpha;
    const scaling = scalingOf(r, lora_alpha, settings.use_rslora);
    modules.set(path, { r, lora_alpha, scaling, A: read(A, weights), B: read(B, weights) });
  }
  return { settings, modules };
}

/** @throws Error where the text is no object of JSON */
function parsed(config: string): Readonly<Record<string, unknown>> {
  let values: unknown;
  try {
    values = JSON.parse(config);
  } catch (error) {
    throw new Error(`adapter_config.json is no JSON: ${String(error)}`, { cause: error });
  }
  if (!isObject(values)) throw new Error('adapter_config.json must be an object.');
  return values;
}

function settingsOf(values: Readonly<Record<string, unknown>>): AdapterSettings {
  const refuse = (key: string, what: string) => new Error(`adapter_config.json: "${key}" ${what}.`);
  const layers = values['layers_model'] as { readonly format?: unknown } | null | undefined;
  if (layers?.format !== 'tensorflow.js')
    throw refuse('layers_model', 'is missing: the adapter is not one of a layers model');
  for (const key of UNSUPPORTED)
    if ((values[key] ?? false) !== false) throw refuse(key, 'is not supported here');
  const { r, lora_alpha, use_rslora } = values;
  for (const [key, value] of [
    ['r', r],
    ['lora_alpha', lora_alpha],
  ] as const)
    if (!isPositive(value)) throw refuse(key, 'must be a number above 0');
  return { r: r as number, lora_alpha: lora_alpha as number, use_rslora: use_rslora === true };
}

const isPositive = (value: unknown): value is number =>
  typeof value === 'number' && value > 0 && value < Infinity;

const FACTOR = /^base_model\.model\.(.+)\.lora_(?:embedding_)?([AB])(?:\.weight)?$/;

function pairs(
  tensors: ReadonlyMap<string, StoredTensor>,
): Map<string, { A?: StoredTensor; B?: StoredTensor }> {
  const found = new Map<string, { A?: StoredTensor; B?: StoredTensor }>();
  for (const tensor of tensors.values()) {
    const [, path, factor] = FACTOR.exec(tensor.name) ?? [];
    if (path === undefined)
      throw new Error(`${FILE}: ${tensor.name} is no factor; merge such an adapter (lora merge).`);
    if (tensor.dtype !== 'F32')
      throw new Error(`${FILE}: ${tensor.name} is ${tensor.dtype}; only F32 is read here.`);
    const own = found.get(path) ?? {};
    if (own[factor as 'A' | 'B'])
      throw new Error(`${FILE}: ${path} has two factors ${factor!}, the second is ${tensor.name}.`);
    found.set(path, { ...own, [factor!]: tensor });
  }
  return found;
}

function read({ name, shape, start, end }: StoredTensor, weights: Uint8Array): NamedTensor {
  // a copy: slice() of Node's buffers would give the memory that they are part of
  const data = new Float32Array(new Uint8Array(weights.subarray(start, end)).buffer);
  if (!data.every(Number.isFinite)) throw new Error(`${FILE}: ${name} has NaN or infinity.`);
  return { name, shape, data };
}

/** The value of a pattern whose keys are paths, as trainings of a model.json write them. */
function patternValue(pattern: unknown, path: string): number | undefined {
  for (const [key, value] of Object.entries((pattern ?? {}) as Record<string, unknown>)) {
    const plain = key.replace(/^\^/, '').replace(/\\(.)/g, '$1');
    if (/[\\^$*+?()[\]{}|]/.test(key.replace(/^\^|\\./g, '')) || !isPositive(value))
      throw new Error(`adapter_config.json: "${key}" of a pattern is not supported here.`);
    if (path === plain || (!key.startsWith('^') && path.endsWith(`.${plain}`))) return value;
  }
  return undefined;
}
