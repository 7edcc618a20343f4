import { toJsonSchema } from '@valibot/to-json-schema';
import { RecipeSchema } from '../../shared/recipe';
import { TOOLS_VALUE } from '../../shared/tools';

interface JsonSchema {
  properties?: Record<string, JsonSchema>;
  additionalProperties?: boolean;
  default?: unknown;
  [key: string]: unknown;
}

/** The JSON schema of recipes, for completion, hovers and validation. */
export function recipeJsonSchema(): JsonSchema {
  const schema = toJsonSchema(RecipeSchema, {
    typeMode: 'input',
    target: 'draft-07',
    overrideSchema: ({ valibotSchema }) =>
      valibotSchema.type === 'custom'
        ? { type: [valibotSchema === TOOLS_VALUE ? 'array' : 'object', 'string'] }
        : undefined,
  }) as JsonSchema;
  delete schema.properties?.['$schema'];
  return {
    ...withDefaults(schema),
    title: 'LoRA Workbench recipe',
    allowComments: true,
    allowTrailingCommas: true,
  };
}

/**
 * Unknown keys are left to the extension's own check, which suggests the most similar key. Required
 * keys default to empty: completion inserts that, and it stays marked until it is filled in.
 */
function withDefaults(schema: JsonSchema): JsonSchema {
  const rest = { ...schema };
  delete rest.additionalProperties;
  if (!schema.properties) return rest;
  const properties = Object.entries(schema.properties).map(([key, value]) => [
    key,
    { ...withDefaults(value), default: value.default ?? emptyOf(value) },
  ]);
  return { ...rest, properties: Object.fromEntries(properties) as Record<string, JsonSchema> };
}

const emptyOf = (schema: JsonSchema) => (schema['type'] === 'string' ? '' : null);
