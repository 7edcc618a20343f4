import { LoraError } from '../../shared/errors';
import { countOf, isObject } from '../../shared/values';
import { positiveOf, type ConfigReader } from './config';
import type { RopeScaling, RopeSpec } from './spec';

type Settings = Readonly<Record<string, unknown>>;

const KNOWN = ['default', 'linear', 'proportional', 'dynamic', 'llama3', 'yarn', 'longrope'];

const OLDER = { theta: 'rope_theta', partial: 'partial_rotary_factor' };

/** What a family's configs leave out. */
export interface RopeDefaults {
  readonly head_dim: number;
  readonly theta?: number;
  /** The fraction of a head that is rotated; left out: the family rotates whole heads only. */
  readonly partial?: number;
  /** The names of theta and of the fraction in configs before transformers 5. */
  readonly older?: { readonly theta: string; readonly partial: string };
  /** Which of several rope_parameters, by the layer's type. */
  readonly kind?: string;
  /** The settings of a config that has none. */
  readonly missing?: Settings;
}

/**
 * Reads rope_parameters (transformers 5), or the older rope_theta, rope_scaling and
 * partial_rotary_factor.
 *
 * @throws LoraError('base') naming the key.
 */
export function readRope(reader: ConfigReader, defaults: RopeDefaults): RopeSpec {
  const { head_dim, theta = 10_000, older = OLDER } = defaults;
  const settings = settingsOf(reader, defaults);
  const number = (key: string, value: unknown) =>
    positiveOf(value, (what) => reader.bad(key, what));
  const share = number('partial_rotary_factor', shareOf(reader, settings, defaults));
  if (share > 1) throw reader.bad('partial_rotary_factor', `must be at most 1, not ${share}`);
  const isProportional = typeOf(settings) === 'proportional';
  if (share < 1 && defaults.partial === undefined && !isProportional)
    throw reader.bad(
      'partial_rotary_factor',
      `is ${share}, but models of this family rotate whole heads`,
    );
  const rotary_dim = isProportional ? head_dim : Math.trunc(head_dim * share);
  if (rotary_dim % 2 !== 0 || rotary_dim === 0)
    throw reader.bad(
      'head_dim',
      `leaves ${countOf(rotary_dim, 'dimension')} of a head to rotate, but RoPE needs an even number`,
    );
  return {
    theta: number('rope_theta', settings['rope_theta'] ?? reader.raw(older.theta) ?? theta),
    rotary_dim,
    scaling: readScaling(reader, settings, { rotary_dim, share }),
    ...queryGrowth(settings, number),
  };
}

function settingsOf(reader: ConfigReader, { kind, missing = {} }: RopeDefaults): Settings {
  const parameters = record(reader.config['rope_parameters']);
  const own = kind === undefined ? parameters : record(parameters[kind] ?? parameters);
  const given: Settings = { ...record(reader.config['rope_scaling']), ...own };
  return Object.keys(given).length === 0 ? missing : given;
}

const typeOf = (settings: Settings): unknown =>
  settings['rope_type'] ?? settings['type'] ?? 'default';

/** In families that rotate whole heads, transformers reads a fraction only for scaled RoPE. */
function shareOf(
  reader: ConfigReader,
  settings: Settings,
  { partial, older = OLDER }: RopeDefaults,
): unknown {
  if (partial === undefined && typeOf(settings) === 'default') return 1;
  return settings['partial_rotary_factor'] ?? reader.raw(older.partial) ?? partial ?? 1;
}

/** Of Llama 4 and Ministral 3. */
function queryGrowth(
  settings: Settings,
  number: (key: string, value: unknown) => number,
): Pick<RopeSpec, 'query_growth'> {
  const beta: unknown = settings['llama_4_scaling_beta'];
  if (beta === undefined || beta === null || beta === 0) return {};
  const key = 'original_max_position_embeddings';
  const length = number(key, settings[key]);
  return { query_growth: { beta: number('llama_4_scaling_beta', beta), length } };
}

function readScaling(
  reader: ConfigReader,
  settings: Settings,
  { rotary_dim, share }: { readonly rotary_dim: number; readonly share: number },
): RopeScaling {
  const kind = typeOf(settings);
  const at = (key: string, missing?: number) =>
    positiveOf(settings[key] ?? missing, (what) => reader.bad(key, what));
  const original = () =>
    positiveOf(
      settings['original_max_position_embeddings'] ??
        reader.raw('original_max_position_embeddings', 'max_position_embeddings'),
      (what) => reader.bad('original_max_position_embeddings', what),
    );
  switch (kind) {
    case 'default':
      return { kind };
    case 'linear':
      return { kind, factor: at('factor') };
    case 'proportional':
      return { kind, factor: at('factor', 1), pairs: Math.floor((share * rotary_dim) / 2) };
    case 'dynamic':
      return {
        kind,
        factor: at('factor'),
        max_position_embeddings: reader.count('max_position_embeddings'),
      };
    case 'llama3':
      return {
        kind,
        factor: at('factor'),
        low_freq_factor: at('low_freq_factor'),
        high_freq_factor: at('high_freq_factor'),
        original_max_position_embeddings: original(),
      };
    case 'yarn':
      return yarn(settings, original(), at, reader);
    case 'longrope':
    case 'su':
      return longrope(settings, original(), reader, rotary_dim);
    default:
      throw new LoraError(
        'base',
        `The RoPE type ${JSON.stringify(kind)} is not supported. Supported: ${KNOWN.join(', ')}.`,
        { place: { file: reader.file, key: 'rope_type' } },
      );
  }
}

function yarn(
  settings: Settings,
  original_max_position_embeddings: number,
  at: (key: string, missing?: number) => number,
  reader: ConfigReader,
): RopeScaling {
  const factor = at(
    'factor',
    reader.positive('max_position_embeddings', original_max_position_embeddings) /
      original_max_position_embeddings,
  );
  const { mscale, mscale_all_dim } = settings;
  const gain = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  const inferred =
    typeof mscale === 'number' && typeof mscale_all_dim === 'number' && mscale && mscale_all_dim
      ? gain(mscale) / gain(mscale_all_dim)
      : gain(1);
  return {
    kind: 'yarn',
    factor,
    original_max_position_embeddings,
    attention_factor: at('attention_factor', inferred),
    beta_fast: at('beta_fast', 32),
    beta_slow: at('beta_slow', 1),
    truncate: settings['truncate'] !== false,
  };
}

function longrope(
  settings: Settings,
  original_max_position_embeddings: number,
  reader: ConfigReader,
  rotary_dim: number,
): RopeScaling {
  const factors = (key: string): number[] => {
    const value = settings[key];
    if (
      Array.isArray(value) &&
      value.length === rotary_dim / 2 &&
      value.every((f): f is number => typeof f === 'number' && f > 0)
    )
      return value;
    throw reader.bad(key, `must list ${countOf(rotary_dim / 2, 'number')} above 0`);
  };
  const given = settings['factor'];
  const factor =
    typeof given === 'number'
      ? given
      : reader.positive('max_position_embeddings', original_max_position_embeddings) /
        original_max_position_embeddings;
  const inferred =
    factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original_max_position_embeddings));
  const { attention_factor = null } = settings;
  return {
    kind: 'longrope',
    short_factor: factors('short_factor'),
    long_factor: factors('long_factor'),
    original_max_position_embeddings,
    attention_factor:
      attention_factor === null
        ? inferred
        : positiveOf(attention_factor, (what) => reader.bad('attention_factor', what)),
  };
}

const record = (value: unknown): Settings => (isObject(value) ? value : {});

/** mrope_section of a config that has none. */
const SECTIONS: readonly number[] = [24, 20, 20];

/**
 * The axes of Qwen3-VL, by mrope_section. Of text alone, the three positions of a token are one.
 *
 * @throws LoraError('base') naming the key.
 */
export function interleavedAxes(reader: ConfigReader): NonNullable<RopeSpec['axes']> {
  const own = [record(reader.config['rope_parameters']), record(reader.config['rope_scaling'])];
  const given = own.map((settings) => settings['mrope_section']).find(Boolean) ?? SECTIONS;
  const isCount = (n: unknown) => typeof n === 'number' && Number.isInteger(n) && n >= 0;
  if (!Array.isArray(given) || given.length !== 3 || !given.every(isCount))
    throw reader.bad('mrope_section', `must be three whole numbers, not ${JSON.stringify(given)}`);
  return { kind: 'interleaved', sections: given as [number, number, number] };
}
