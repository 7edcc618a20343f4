import { TemplateFault, valueError } from './faults';
import { reader, type Frame } from './frame';
import { listOf } from './iterate';
import type { Target } from './nodes';
import { Namespace } from './objects';
import type { Runtime } from './runtime';
import type { Scope } from './scope';
import type { Value } from './values';

export type Assign = (rt: Runtime, frame: Frame, value: Value) => void;

/** Assigns to names, to attributes of namespaces, and to several of them from a sequence. */
export function compileTarget(target: Target, scope: Scope): Assign {
  const { symbols } = scope;
  switch (target.kind) {
    case 'name': {
      const { name } = target;
      const { slot } = symbols.find(name)!;
      return (_, frame, value) => {
        frame.slots[slot] = value;
        if (scope.top) frame.context.set(name, value);
      };
    }
    case 'namespace': {
      const read = reader(symbols.find(target.name)!, symbols.scope);
      return (_, frame, value) => {
        namespaceOf(read(frame)).set(target.attribute, value);
      };
    }
    case 'tuple': {
      const items = target.items.map((item) => compileTarget(item, scope));
      return (rt, frame, value) => {
        const values = unpack(rt, value, items.length);
        items.forEach((assign, i) => assign(rt, frame, values[i]!));
      };
    }
  }
}

export function namespaceOf(value: Value | undefined): Namespace {
  if (value instanceof Namespace) return value;
  throw new TemplateFault(
    'TemplateRuntimeError',
    'cannot assign attribute on non-namespace object',
  );
}

function unpack(rt: Runtime, value: Value, count: number): readonly Value[] {
  const values = listOf(rt, value);
  if (values.length < count)
    throw valueError(`not enough values to unpack (expected ${count}, got ${values.length})`);
  if (values.length > count) throw valueError(`too many values to unpack (expected ${count})`);
  return values;
}
