import { isObject } from '../../../shared/values';
import { Grammar } from '../json/grammar';
import { anyObject } from '../json/jsonRules';
import { SchemaError, schemaRule } from '../json/schemaGrammar';
import { badField } from './apiError';
import { knownFields } from './fields';

/** `strict` changes nothing: the schema is followed in any case. */
const KEYS: readonly string[] = ['name', 'description', 'strict', 'schema'];
const TYPES = 'must have the type "text", "json_object" or "json_schema"';

/** What a response_format allows; null: any text. @throws ApiError */
export function grammarOf(given: unknown): Grammar | null {
  if (given === undefined) return null;
  if (!isObject(given)) throw badField('response_format', TYPES);
  const { type } = given;
  const isSchema = type === 'json_schema';
  const { json_schema } = knownFields(
    given,
    ['type', ...(isSchema ? ['json_schema'] : [])],
    'response_format.',
  );
  switch (type) {
    case 'text':
      return null;
    case 'json_object':
      return new Grammar(anyObject);
    case 'json_schema':
      return schemaGrammar(json_schema);
    default:
      throw badField('response_format', TYPES);
  }
}

function schemaGrammar(given: unknown): Grammar {
  const { schema } = knownFields(given ?? {}, KEYS, 'response_format.json_schema.');
  if (schema === undefined)
    throw badField('response_format', 'must have {"json_schema": {"name": …, "schema": {…}}}');
  try {
    return new Grammar(schemaRule(schema));
  } catch (error) {
    if (error instanceof SchemaError)
      throw badField('response_format', `has a schema that cannot be enforced: ${error.message}`);
    if (error instanceof RangeError) throw badField('response_format', 'nests too deeply');
    throw error;
  }
}
