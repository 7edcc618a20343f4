import * as v from 'valibot';
import { ruleOf } from './schemaRule';

/** A checked value, or where and how it breaks the schema. */
export type Checked<T> = { readonly message: T } | { readonly fault: string };

/** Checks a message against a schema. */
export function checked<T>(schema: v.GenericSchema<unknown, T>, value: unknown): Checked<T> {
  const result = v.safeParse(schema, value);
  if (result.success) return { message: result.output };
  const issue = result.issues[0];
  return { fault: `${v.getDotPath(issue) ?? 'message'}: ${ruleOf(issue)}` };
}

/** A guard: the value if it fits the schema, otherwise undefined. */
export const parsed =
  <S extends v.GenericSchema>(schema: S) =>
  (value: unknown): v.InferOutput<S> | undefined => {
    const result = v.safeParse(schema, value);
    return result.success ? result.output : undefined;
  };
