import * as v from 'valibot';
import type { ValueSchema } from './optionValues';

/** One option of a command: how it is written, what it is for and how its value is read. */
export interface Option<T> {
  readonly type: 'string' | 'boolean';
  /** Whether it may be given several times. */
  readonly multiple: boolean;
  /** The name of the value in the usage, such as DIR; null for a flag. */
  readonly valueName: string | null;
  readonly required: boolean;
  /** The options with the same name here exclude each other, and one of them is needed. */
  readonly choice: string | null;
  /** A phrase for the help. */
  readonly help: string;
  /** Reads what was given (undefined if nothing was). */
  readonly schema: v.GenericSchema<unknown, T>;
}

/** The options of a command by their names, without the dashes. */
export type OptionSet = Readonly<Record<string, Option<unknown>>>;

/** The values of a command's options. */
export type OptionValues<O extends OptionSet> = {
  readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never;
};

const MISSING = 'is missing';

const NOT_REPEATED = { type: 'string', multiple: false, required: false, choice: null } as const;

/** An option that must be given. */
export const required = <T>(
  schema: ValueSchema<T>,
  valueName: string,
  help: string,
): Option<T> => ({
  ...NOT_REPEATED,
  valueName,
  help,
  required: true,
  schema: v.pipe(v.string(MISSING), v.nonEmpty(MISSING), schema),
});

/** An option that is null if it is not given. */
export const optional = <T>(
  schema: ValueSchema<T>,
  valueName: string,
  help: string,
): Option<T | null> => ({
  ...NOT_REPEATED,
  valueName,
  help,
  schema: v.optional(v.nullable(schema), null),
});

/** An option with a default, written as on the command line. */
export const withDefault = <T>(
  value: string,
  schema: ValueSchema<T>,
  valueName: string,
  help: string,
): Option<T> => ({
  ...NOT_REPEATED,
  valueName,
  help: `${help} (default: ${value})`,
  schema: v.optional(schema, value),
});

/** An option that may be repeated, or left out. */
export const list = <T>(
  schema: ValueSchema<T>,
  valueName: string,
  help: string,
): Option<readonly T[]> => ({
  ...NOT_REPEATED,
  multiple: true,
  valueName,
  help,
  schema: v.optional(v.array(schema), []),
});

/** An option that may be repeated and must be given at least once. */
export const requiredList = <T>(
  schema: ValueSchema<T>,
  valueName: string,
  help: string,
): Option<readonly T[]> => ({
  ...list(schema, valueName, help),
  required: true,
  schema: v.array(schema, MISSING),
});

/** An option without a value: false unless it is given. */
export const flag = (help: string): Option<boolean> => ({
  ...NOT_REPEATED,
  type: 'boolean',
  valueName: null,
  help,
  schema: v.optional(v.boolean(), false),
});

/** The options of which exactly one must be given; the others are null. */
export function exactlyOne<const O extends OptionSet>(options: O): O {
  const choice = Object.keys(options).join();
  const entries = Object.entries(options).map(([name, option]) => [name, { ...option, choice }]);
  return Object.fromEntries(entries) as O;
}
