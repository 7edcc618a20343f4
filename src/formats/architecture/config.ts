import { LoraError } from '../../shared/errors';
import { countOf, isObject } from '../../shared/values';

/** config.json as an object. */
export type Config = Readonly<Record<string, unknown>>;

const MAX_COUNT = 2 ** 31;

/**
 * Reads checked values from a config.json, which may come from anyone. The first of
 * several keys that is set counts; `missing` is the default.
 *
 * All methods throw LoraError('base') naming file and key.
 */
export class ConfigReader {
  constructor(
    readonly config: Config,
    readonly file: string,
  ) {}

  /** How the weights are packed (`quantization_config`); undefined: they are not. */
  get packing(): unknown {
    const own = this.config['quantization_config'];
    return isObject(own) ? own['quant_method'] : undefined;
  }

  /** The error of a value that cannot be used; `what` follows the key. */
  bad(key: string, what: string): LoraError {
    return new LoraError('base', `The model's config is not usable: "${key}" ${what}.`, {
      place: { file: this.file, key },
      fix: 'Download the model again.',
    });
  }

  /** The first value that is neither missing nor null: some settings have had several names. */
  raw(...keys: readonly string[]): unknown {
    return keys
      .map((key) => this.config[key])
      .find((value) => value !== undefined && value !== null);
  }

  /** A whole number, at least 1. */
  count(keys: string | readonly string[], missing?: number, limit = MAX_COUNT, least = 1): number {
    const names = typeof keys === 'string' ? [keys] : keys;
    const value = this.raw(...names) ?? missing;
    if (
      typeof value === 'number' &&
      Number.isSafeInteger(value) &&
      value >= least &&
      value <= limit
    )
      return value;
    throw this.bad(
      names[0]!,
      value === undefined
        ? 'is missing'
        : `must be a whole number from ${least} to ${limit}, not ${JSON.stringify(value)}`,
    );
  }

  /** A whole number, at least 0. */
  whole(key: string, missing: number): number {
    return this.count(key, missing, MAX_COUNT, 0);
  }

  /** A number above 0. */
  positive(keys: string | readonly string[], missing?: number): number {
    const names = typeof keys === 'string' ? [keys] : keys;
    return positiveOf(this.raw(...names) ?? missing, (what) => this.bad(names[0]!, what));
  }

  /** As `positive`; null when it is missing or null. */
  positiveOrNull(key: string): number | null {
    return this.raw(key) === undefined ? null : this.positive(key);
  }

  /** True or false, also as 1 or 0. */
  flag(key: string, missing = false): boolean {
    const value = this.raw(key) ?? missing;
    if (typeof value === 'boolean') return value;
    if (value === 0 || value === 1) return value === 1;
    throw this.bad(key, `must be true or false, not ${JSON.stringify(value)}`);
  }

  /** The value that `choices` has for the configured name. */
  choice<T>(
    keys: string | readonly string[],
    choices: Readonly<Record<string, T>>,
    missing: string,
  ): T {
    const names = typeof keys === 'string' ? [keys] : keys;
    const value = this.raw(...names) ?? missing;
    if (typeof value === 'string' && Object.hasOwn(choices, value)) return choices[value]!;
    throw this.bad(
      names[0]!,
      `must be ${Object.keys(choices)
        .map((c) => `"${c}"`)
        .join(' or ')}, not ${JSON.stringify(value)}`,
    );
  }

  /** A list with an entry for each layer; null when the config lacks it. */
  list(key: string, length: number): readonly unknown[] | null {
    const value = this.config[key];
    if (value === undefined || value === null) return null;
    if (Array.isArray(value) && value.length >= length) return value as readonly unknown[];
    throw this.bad(key, `must list ${countOf(length, 'layer')}`);
  }
}

/** @throws the error of `bad` when the value is not a finite number above 0. */
export function positiveOf(value: unknown, bad: (what: string) => LoraError): number {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  throw bad(value === undefined ? 'is missing' : `must be above 0, not ${JSON.stringify(value)}`);
}
