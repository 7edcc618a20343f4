/** A schema that cannot be checked against; its message continues "the schema …". */
export class UnsupportedSchema extends Error {}

export type Schema = Readonly<Record<string, unknown>>;

/** Why a value at a place ("the answer.a[0]") does not fit; null: it does. */
export type Test = (value: unknown, place: string) => string | null;

/** Makes tests of the schemas in a schema. */
export interface SchemaCompiler {
  compile(schema: unknown): Test;
  /** Of a pointer such as #/$defs/item, which may lead to itself. */
  reference(pointer: unknown): Test;
}

/** A test of a keyword's value; the schema holds the keywords beside it. */
export type Build = (given: unknown, schema: Schema, compiler: SchemaCompiler) => Test;

/** The first fault of several tests. */
export const allOf =
  (tests: readonly Test[]): Test =>
  (value, place) => {
    for (const test of tests) {
      const fault = test(value, place);
      if (fault !== null) return fault;
    }
    return null;
  };
