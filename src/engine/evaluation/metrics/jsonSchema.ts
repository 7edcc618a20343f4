import { isObject } from '../../../shared/values';
import { KEYWORDS, WITHOUT_EFFECT } from './jsonKeywords';
import {
  allOf,
  UnsupportedSchema,
  type Schema,
  type SchemaCompiler,
  type Test,
} from './schemaTests';

/** Why a value does not fit the schema, as a sentence without its end; null: it does. */
export type SchemaTest = (value: unknown) => string | null;

const MOST_DEPTH = 100;
/** Parts of a schema that are tried on one answer: several that lead to each other multiply. */
const MOST_TESTS = 100_000;

/**
 * The test of a JSON schema (draft 2020-12 without dynamic and remote references, and without
 * unevaluated properties and items).
 *
 * @throws UnsupportedSchema for a keyword that is not known, by its name
 */
export function schemaTest(schema: unknown): SchemaTest {
  const compiler = new Compiler(schema);
  const test = compiler.compile(schema);
  return (value) => {
    try {
      compiler.left = MOST_TESTS;
      return test(value, 'the answer');
    } catch (error) {
      if (error instanceof RangeError) return 'the answer or the schema nests too deeply';
      throw error;
    }
  };
}

class Compiler implements SchemaCompiler {
  private readonly references = new Map<string, { test: Test | null }>();
  private depth = 0;
  /** Tests that may still be made. */
  left = MOST_TESTS;

  constructor(private readonly root: unknown) {}

  compile(schema: unknown): Test {
    if (schema === true) return () => null;
    if (schema === false) return (_, place) => `${place} is not allowed`;
    if (!isObject(schema)) throw new UnsupportedSchema('has a part that is not a schema');
    if (this.depth >= MOST_DEPTH) throw new UnsupportedSchema('nests too deeply');
    this.depth++;
    const tests = Object.keys(schema).flatMap((keyword) => {
      if (WITHOUT_EFFECT.has(keyword)) return [];
      const build = Object.hasOwn(KEYWORDS, keyword) ? KEYWORDS[keyword] : undefined;
      if (!build) throw new UnsupportedSchema(`has the keyword "${keyword}", which is not known`);
      return [build(schema[keyword], schema, this)];
    });
    this.depth--;
    const test = allOf(tests);
    return (value, place) => {
      if (this.left-- <= 0) throw new RangeError('Too many tests.');
      return test(value, place);
    };
  }

  reference(pointer: unknown): Test {
    if (typeof pointer !== 'string' || !/^#(?:\/|$)/.test(pointer))
      throw new UnsupportedSchema('has a "$ref" to something outside it');
    const known = this.references.get(pointer);
    if (known) return (value, place) => known.test!(value, place);
    const entry: { test: Test | null } = { test: null };
    this.references.set(pointer, entry);
    entry.test = this.compile(this.at(pointer));
    return entry.test;
  }

  private at(pointer: string): unknown {
    let value = this.root;
    for (const part of pointer.split('/').slice(1)) {
      const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
      const isThere = typeof value === 'object' && value !== null && Object.hasOwn(value, key);
      if (!isThere) throw new UnsupportedSchema(`has no part ${pointer}`);
      value = (value as Schema)[key];
    }
    return value;
  }
}
