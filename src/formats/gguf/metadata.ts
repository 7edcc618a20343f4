import { LoraError } from '../../shared/errors';
import type { GgufHeader, GgufValue } from './header';

/**
 * Typed access to a GGUF file's metadata; `missing` is the default.
 *
 * All getters throw LoraError('base') naming the key when it is missing or of another type.
 */
export class Metadata {
  constructor(
    private readonly values: GgufHeader['metadata'],
    readonly file: string,
  ) {}

  has = (key: string): boolean => this.values.has(key);

  /** Any number; 64-bit integers are converted. */
  number(key: string, missing?: number): number {
    const value = this.values.get(key) ?? missing;
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    if (typeof value === 'bigint') return Number(value);
    throw this.bad(key, 'a number', value);
  }

  /**
   * As `number`, for a decimal that was stored as an f32: 1e-5, where `number` gives
   * 0.000009999999747378752.
   */
  decimal(key: string, missing?: number): number {
    return Number(Math.fround(this.number(key, missing)).toPrecision(7));
  }

  string(key: string, missing?: string): string {
    const value = this.values.get(key) ?? missing;
    if (typeof value === 'string') return value;
    throw this.bad(key, 'a string', value);
  }

  boolean(key: string, missing: boolean): boolean {
    const value = this.values.get(key) ?? missing;
    if (typeof value === 'boolean') return value;
    throw this.bad(key, 'true or false', value);
  }

  strings(key: string): readonly string[] {
    return this.list(key, (item): item is string => typeof item === 'string', 'strings');
  }

  numbers(key: string): readonly number[] {
    return this.list(key, (item): item is number => typeof item === 'number', 'numbers');
  }

  booleans(key: string): readonly boolean[] {
    return this.list(key, (item): item is boolean => typeof item === 'boolean', 'booleans');
  }

  /** Whether the value is a list. */
  isList = (key: string): boolean => Array.isArray(this.values.get(key));

  private list<T extends GgufValue>(
    key: string,
    test: (item: GgufValue) => item is T,
    what: string,
  ): readonly T[] {
    const value = this.values.get(key);
    if (Array.isArray(value) && value.every(test)) return value;
    throw this.bad(key, `a list of ${what}`, value);
  }

  private bad(key: string, expected: string, value: GgufValue | undefined): LoraError {
    const found = value === undefined ? 'is missing' : `is not ${expected}`;
    return new LoraError('base', `The GGUF file's metadata is not usable: ${key} ${found}.`, {
      place: { file: this.file, key },
    });
  }
}
