import { typeError } from './faults';
import type { Runtime } from './runtime';
import { TemplateObject, Tuple, Undefined, type Arguments, type Value } from './values';

/** What a macro takes. */
export interface MacroSignature {
  /** Null: the body of a call block. */
  readonly name: string | null;
  readonly parameters: readonly string[];
  /** What its body uses beside its parameters. */
  readonly usesCaller: boolean;
  readonly usesKwargs: boolean;
  readonly usesVarargs: boolean;
}

/** The arguments of a macro by its parameters; undefined: left out. */
export interface MacroArguments {
  readonly parameters: readonly (Value | undefined)[];
  readonly caller: Value;
  readonly kwargs: ReadonlyMap<string, Value>;
  readonly varargs: readonly Value[];
}

export class Macro extends TemplateObject {
  readonly typeName = 'Macro';

  constructor(
    private readonly signature: MacroSignature,
    private readonly run: (rt: Runtime, args: MacroArguments) => Value,
  ) {
    super();
  }

  override call(rt: Runtime, args: Arguments): Value {
    const bound = this.bind(args);
    return rt.nested(() => this.run(rt, bound));
  }

  private bind({ positional, named }: Arguments): MacroArguments {
    const { parameters, usesCaller, usesKwargs, usesVarargs } = this.signature;
    const kwargs = new Map(named);
    const take = (name: string) => {
      const value = kwargs.get(name);
      kwargs.delete(name);
      return value;
    };
    const values = parameters.map((name, i) =>
      i < positional.length ? positional[i] : take(name),
    );
    let caller: Value | undefined;
    if (usesCaller && !parameters.includes('caller')) caller = take('caller');
    if (!usesKwargs && kwargs.size > 0) throw this.unexpected(kwargs);
    const varargs = positional.slice(parameters.length);
    if (!usesVarargs && varargs.length > 0)
      throw typeError(`macro ${this.label} takes not more than ${parameters.length} argument(s)`);
    const noCaller = new Undefined('No caller defined');
    return { parameters: values, caller: caller ?? noCaller, kwargs, varargs };
  }

  private unexpected(kwargs: ReadonlyMap<string, Value>): Error {
    const [name] = kwargs.keys();
    return typeError(`macro ${this.label} takes no keyword argument '${name!}'`);
  }

  private get label(): string {
    return this.signature.name === null ? 'None' : `'${this.signature.name}'`;
  }

  override attribute(name: string): Value | undefined {
    const { parameters, usesCaller, usesKwargs, usesVarargs } = this.signature;
    const attributes: Readonly<Record<string, Value>> = {
      name: this.signature.name,
      arguments: new Tuple(parameters),
      caller: usesCaller,
      catch_kwargs: usesKwargs,
      catch_varargs: usesVarargs,
      explicit_caller: parameters.includes('caller'),
    };
    return Object.hasOwn(attributes, name) ? attributes[name] : undefined;
  }

  override text(): string {
    return `<Macro ${this.signature.name === null ? 'anonymous' : this.label}>`;
  }
}
