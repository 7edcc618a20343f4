import { fromKeys, namesOf } from './access';
import { TemplateRefusal, typeError } from './faults';
import { listOf } from './iterate';
import { Cycler, Joiner, Namespace, rangeOf } from './objects';
import type { Runtime } from './runtime';
import { bind, textArgument } from './signature';
import { textOf } from './text';
import { Callable, Dict, stringOf, TemplateObject, type Arguments, type Value } from './values';

/** The functions that a template has beside the variables that it is given. */
export function globalFunctions(strftime: (format: string) => string): [string, Value][] {
  const functions = [
    new Callable('range', (_, args) => rangeOf(positionalOnly('range', args))),
    new Callable('namespace', (rt, args) => new Namespace(textKeys(entriesOf(rt, args)))),
    new Callable('cycler', (_, args) => new Cycler(positionalOnly('cycler', args))),
    new Callable('joiner', (_, args) => new Joiner(bind('joiner', 'sep?', args)[0] ?? ', ')),
    new Callable('raise_exception', (rt, args) => {
      const [message] = bind('raise_exception', 'message', args);
      throw new TemplateRefusal(textOf(rt, message!));
    }),
    new Callable('strftime_now', (rt, args) => {
      const [format] = bind('strftime_now', 'format', args);
      const text = strftime(textArgument(format, 'format'));
      rt.allocate(text.length);
      return text;
    }),
    new Callable('lipsum', () => {
      throw typeError('lipsum() is not supported: its text is random');
    }),
  ];
  return [
    ...functions.map((own): [string, Value] => [own.name, own]),
    ['dict', new DictFunction()],
  ];
}

class DictFunction extends TemplateObject {
  readonly typeName = 'TemplateDict';

  override call(rt: Runtime, args: Arguments): Value {
    return Dict.of(entriesOf(rt, args));
  }

  override attribute(name: string): Value | undefined {
    if (name !== 'fromkeys') return undefined;
    return new Callable(name, (rt, args) => {
      const [keys, value] = bind(name, 'iterable value?', args);
      return fromKeys(rt, keys!, value);
    });
  }
}

function positionalOnly(name: string, { positional, named }: Arguments): readonly Value[] {
  if (named.size > 0) throw typeError(`${name}() takes no keyword arguments`);
  return positional;
}

/** What Python's dict(…) takes: a dictionary or pairs, then keyword arguments. */
function entriesOf(rt: Runtime, { positional, named }: Arguments): [Value, Value][] {
  if (positional.length > 1)
    throw typeError(`dict expected at most 1 argument, got ${positional.length}`);
  const [first] = positional;
  return [...(first === undefined ? [] : pairsOf(rt, first)), ...named];
}

function pairsOf(rt: Runtime, value: Value): [Value, Value][] {
  if (value instanceof Dict) return Array.from(value.entries(), ([key, item]) => [key, item]);
  return listOf(rt, value).map((pair) => {
    const [key, item, ...rest] = listOf(rt, pair);
    if (key === undefined || item === undefined || rest.length > 0)
      throw typeError('dictionary update sequence elements must have length 2');
    return [key, item];
  });
}

function textKeys(entries: readonly [Value, Value][]): [string, Value][] {
  return [...namesOf(Dict.of(entries))].filter(([key]) => stringOf(key) !== undefined);
}
