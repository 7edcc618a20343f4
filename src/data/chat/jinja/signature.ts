import { typeError } from './faults';
import { indexOf } from './numbers';
import { stringOf, truth, typeName, Undefined, type Arguments, type Value } from './values';

/**
 * The arguments of a call by their places in a signature: names with a ? may be left out.
 *
 * @throws TemplateFault where the call does not fit.
 */
export function bind(name: string, signature: string, args: Arguments): (Value | undefined)[] {
  const parameters = signature.split(' ').filter((part) => part !== '');
  const names = parameters.map((part) => part.replace('?', ''));
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
  parameters.forEach((part, i) => {
    if (!part.endsWith('?') && values[i] === undefined)
      throw typeError(`${name}() missing 1 required argument: '${names[i]}'`);
  });
  return values;
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
