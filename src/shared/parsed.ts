import * as v from 'valibot';

/** A guard for messages: the value where it fits the schema, undefined for what is none. */
export const parsed =
  <S extends v.GenericSchema>(schema: S) =>
  (value: unknown): v.InferOutput<S> | undefined => {
    const result = v.safeParse(schema, value);
    return result.success ? result.output : undefined;
  };
