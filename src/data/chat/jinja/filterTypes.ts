import { bind } from './signature';
import type { Runtime } from './runtime';
import type { Arguments, Value } from './values';

/** Calls filters and tests by name, for those that take the name of another. */
export interface Registry {
  filter(rt: Runtime, name: string, args: Arguments): Value;
  test(rt: Runtime, name: string, args: Arguments): boolean;
  readonly hasFilter: (name: string) => boolean;
  readonly hasTest: (name: string) => boolean;
}

/** The value that is filtered is the first positional argument. */
export type Filter = (rt: Runtime, args: Arguments, registry: Registry) => Value;

/** A filter whose arguments follow a signature; `value` stands for what is filtered. */
export function filter(
  name: string,
  signature: string,
  run: (rt: Runtime, value: Value, args: readonly (Value | undefined)[]) => Value,
): readonly [string, Filter] {
  return [
    name,
    (rt, args) => {
      const [value, ...rest] = bind(name, `value ${signature}`, args);
      return run(rt, value!, rest);
    },
  ];
}
