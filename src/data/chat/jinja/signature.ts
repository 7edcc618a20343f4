import { typeError } from './faults';
import { indexOf } from './numbers';
import { stringOf, truth, typeName, Undefined, type Arguments, type Value } from './values';

/**
 * The arguments of a call by their places in a signature: names with a ? may be left out.
 *
 * @throws TemplateFault where the call does not fit.
 */
export function bind(name: string, signature: string, args: Arguments): (Value | undefined)[] {
  const { names, required } = parsed(signature);
  if (args.positional.length > names.length)
    throw typeError(
      `${name}() takes at most ${names.length} arguments (${args.positional.length} given)`,
    );
  const values: (Value | undefined)[] = [...args.positional];
  for (const [key, value] of args.named) {
    const place = names.indexOf(key);
    if (place < 0) throw typeError(`${name}() got an unexpected keyword argument '${key}'`);
    if (place < args.positional.length)
      throw typeError(`${name}() got multiple values for argument '${key}'`);
    values[place] = value;
  }
  for (let i = 0; i < required; i++)
    if (values[i] === undefined)
      throw typeError(`${name}() missing 1 required argument: '${names[i]!}'`);
  return values;
}

interface Signature {
  readonly names: readonly string[];
  /** How many parameters, from the first, must be given. */
  readonly required: number;
}

/** There are as many signatures as filters, tests and methods. */
const signatures = new Map<string, Signature>();

function parsed(text: string): Signature {
  const known = signatures.get(text);
  if (known) return known;
  const parts = text.split(' ').filter((part) => part !== '');
  const signature = {
    names: parts.map((part) => part.replace('?', '')),
    required: parts.filter((part) => !part.endsWith('?')).length,
  };
  signatures.set(text, signature);
  return signature;
}

/** A str argument. */
export function textArgument(value: Value | undefined, name: string): string {
  const text = stringOf(value);
  if (text !== undefined) return text;
  if (value instanceof Undefined) value.fail();
  throw typeError(`${name} must be str, not ${typeName(value ?? null)}`);
}

/** A str argument that may be left out or none. */
export function optionalText(value: Value | undefined, name: string): string | undefined {
  return value === undefined || value === null ? undefined : textArgument(value, name);
}

/** An integer argument. */
export function integerArgument(value: Value | undefined, name: string): number {
  const index = indexOf(value);
  if (index !== undefined) return index;
  if (value instanceof Undefined) value.fail();
  throw typeError(
    `${name}: '${typeName(value ?? null)}' object cannot be interpreted as an integer`,
  );
}

/** An integer argument that may be left out or none. */
export function optionalInteger(value: Value | undefined, name: string): number | undefined {
  return value === undefined || value === null ? undefined : integerArgument(value, name);
}

export function flag(value: Value | undefined, otherwise = false): boolean {
  return value === undefined ? otherwise : truth(value);
}
