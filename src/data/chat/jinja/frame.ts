import type { FunctionScope, Load, Reference } from './symbols';
import type { Value } from './values';

/** The variables that a template sees: those that it is given, and those that it sets. */
export class Context {
  constructor(
    private readonly given: ReadonlyMap<string, Value>,
    private readonly own = new Map<string, Value>(),
  ) {}

  resolve(name: string): Value | undefined {
    return this.own.has(name) ? this.own.get(name) : this.given.get(name);
  }

  set(name: string, value: Value): void {
    this.own.set(name, value);
  }

  /** A context of its own, with these variables added. */
  derived(variables: Iterable<readonly [string, Value]>): Context {
    return new Context(this.given, new Map([...this.own, ...variables]));
  }
}

/** The variables of a function that is running; undefined: the variable has no value. */
export class Frame {
  readonly slots: (Value | undefined)[] = [];

  constructor(
    readonly context: Context,
    private readonly parent: Frame | null,
  ) {}

  /** The frame of a function around this one. */
  outer(hops: number): Frame {
    return hops === 0 ? this : this.parent!.outer(hops - 1);
  }

  inner(): Frame {
    return new Frame(this.context, this);
  }
}

/** Reads a variable from a frame of the function `from`. */
export function reader(ref: Reference, from: FunctionScope): (frame: Frame) => Value | undefined {
  const hops = from.depth - ref.scope.depth;
  const { slot } = ref;
  return hops === 0 ? (frame) => frame.slots[slot] : (frame) => frame.outer(hops).slots[slot];
}

/** Gives the variables of a scope their first values. */
export function enter(
  loads: readonly (readonly [number, Load])[],
  scope: FunctionScope,
): (frame: Frame) => void {
  const steps = loads.flatMap(([slot, load]) => {
    const value = firstValue(load, scope);
    return value ? [(frame: Frame) => (frame.slots[slot] = value(frame))] : [];
  });
  return (frame) => {
    for (const step of steps) step(frame);
  };
}

/** Undefined for parameters, which the caller sets. */
function firstValue(
  load: Load,
  scope: FunctionScope,
): ((frame: Frame) => Value | undefined) | undefined {
  switch (load.kind) {
    case 'parameter':
      return undefined;
    case 'resolve':
      return (frame) => frame.context.resolve(load.name);
    case 'alias':
      return reader(load.of, scope);
    case 'undefined':
      return () => undefined;
  }
}
