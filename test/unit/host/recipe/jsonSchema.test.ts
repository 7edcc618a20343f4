import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { recipeJsonSchema } from '../../../../src/host/recipe/jsonSchema';

interface Schema {
  readonly properties?: Record<string, Schema>;
  readonly description?: string;
  readonly default?: unknown;
}

function keysOf(schema: Schema, prefix = ''): [string, Schema][] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => [
    [prefix + key, value] as [string, Schema],
    ...keysOf(value, `${prefix}${key}.`),
  ]);
}

describe("the recipe's JSON schema", () => {
  it('is the one that npm run build wrote', () => {
    expect(JSON.parse(readFileSync('media/lora.schema.json', 'utf8'))).toEqual(recipeJsonSchema());
  });

  it('gives every key a default and a description', () => {
    const keys = keysOf(recipeJsonSchema());
    expect(keys.length).toBeGreaterThan(30);
    expect(
      keys
        .filter(([, schema]) => schema.default === undefined || !schema.description)
        .map(([key]) => key),
    ).toEqual([]);
  });

  it('requires the required keys', () => {
    expect(recipeJsonSchema()['required']).toEqual(['base', 'dataset']);
  });
});
