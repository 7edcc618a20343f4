import * as v from 'valibot';
import { isObject } from './values';

/** Adds a description, which becomes that of the JSON schema. */
export const described = <S extends v.GenericSchema>(schema: S, description: string) =>
  v.pipe(schema, v.description(description));
/** A whole number of at least `min`. */
export const int = (min: number) =>
  v.pipe(
    v.number(),
    v.integer('must be a whole number'),
    v.minValue(min, `must be at least ${min}`),
  );
/** From 0 to 1. */
export const share = () =>
  v.pipe(v.number(), v.minValue(0, 'must be at least 0'), v.maxValue(1, 'must be at most 1'));
export const positive = () => v.pipe(v.number(), v.gtValue(0, 'must be above 0'));
export const nonNegative = () => v.pipe(v.number(), v.minValue(0, 'must be at least 0'));
/** A file or folder. */
export const path = () => v.pipe(v.string(), v.minLength(1, 'must not be empty'));

/** The keys of an object schema, also inside optional(…) and pipe(…). */
export function entriesOf(schema: unknown): Record<string, unknown> | undefined {
  if (!isObject(schema)) return undefined;
  if ('entries' in schema) return schema['entries'] as Record<string, unknown>;
  if ('wrapped' in schema) return entriesOf(schema['wrapped']);
  if ('pipe' in schema) return entriesOf((schema['pipe'] as unknown[])[0]);
  return undefined;
}

/** The keys of an object schema that may be one of several, inside union(…). */
export function entriesOfAny(schema: unknown): Record<string, unknown> | undefined {
  const own = entriesOf(schema);
  if (own || !isObject(schema)) return own;
  if ('wrapped' in schema) return entriesOfAny(schema['wrapped']);
  if ('pipe' in schema) return entriesOfAny((schema['pipe'] as unknown[])[0]);
  return optionsOf(schema)
    .map(entriesOfAny)
    .find((entries) => entries !== undefined);
}

/** The schema of the items of a list, also inside optional(…), pipe(…) and union(…). */
export function itemOf(schema: unknown): unknown {
  if (!isObject(schema)) return undefined;
  if ('item' in schema) return schema['item'];
  if ('wrapped' in schema) return itemOf(schema['wrapped']);
  if ('pipe' in schema) return itemOf((schema['pipe'] as unknown[])[0]);
  return optionsOf(schema)
    .map(itemOf)
    .find((item) => item !== undefined);
}

const optionsOf = (schema: Record<string, unknown>): readonly unknown[] =>
  schema['type'] === 'union' && Array.isArray(schema['options']) ? schema['options'] : [];
