import { lowered, pathGetter, pathsGetter, type Getter } from './attributePath';
import { binary } from './arithmetic';
import { compare, equal } from './compare';
import { TemplateFault, typeError, valueError } from './faults';
import { filter, type Filter, type Registry } from './filterTypes';
import { iterator, lengthOf, listOf } from './iterate';
import { itemsOf, Once, reversed } from './objects';
import type { Runtime } from './runtime';
import { flag, integerArgument } from './signature';
import { join } from './strings';
import { textOf } from './text';
import {
  codePoints,
  Dict,
  hashOf,
  stringOf,
  truth,
  Tuple,
  typeName,
  Undefined,
  type Arguments,
  type Value,
} from './values';

const generator = (items: Iterator<Value>) => new Once('generator', items);

export const LIST_FILTERS: readonly (readonly [string, Filter])[] = [
  filter('length', '', lengthOf),
  filter('count', '', lengthOf),
  filter('list', '', (rt, value) => listOf(rt, value)),
  filter('first', '', (rt, value) => {
    const first = iterator(rt, value).next();
    return first.done === true ? new Undefined('No first item, sequence was empty.') : first.value;
  }),
  filter('last', '', (rt, value) => {
    const text = stringOf(value);
    const items = text === undefined ? reversible(rt, value) : codePoints(text).toReversed();
    return (
      items[0] ?? (items.length > 0 ? null : new Undefined('No last item, sequence was empty.'))
    );
  }),
  filter('reverse', '', reverse),
  filter('join', 'd? attribute?', (rt, value, [separator = '', attribute]) => {
    const get =
      attribute === undefined || attribute === null ? undefined : pathGetter(rt, attribute);
    const items = listOf(rt, value).map((item) => textOf(rt, get ? get(item) : item));
    return join(rt, textOf(rt, separator), items);
  }),
  filter('items', '', (_, value) => {
    if (value instanceof Undefined) return generator([][Symbol.iterator]());
    return generator(pairs(value));
  }),
  filter('dictsort', 'case_sensitive? by? reverse?', dictSort),
  filter(
    'sort',
    'reverse? case_sensitive? attribute?',
    (rt, value, [reverse, sensitive, attribute]) =>
      sorted(rt, listOf(rt, value), pathsGetter(rt, attribute, caseOf(sensitive)), flag(reverse)),
  ),
  filter('unique', 'case_sensitive? attribute?', (rt, value, [sensitive, attribute]) =>
    generator(unique(rt, value, pathGetter(rt, attribute, undefined, caseOf(sensitive)))),
  ),
  filter('min', 'case_sensitive? attribute?', (rt, value, [sensitive, attribute]) =>
    extreme(rt, value, pathGetter(rt, attribute, undefined, caseOf(sensitive)), -1),
  ),
  filter('max', 'case_sensitive? attribute?', (rt, value, [sensitive, attribute]) =>
    extreme(rt, value, pathGetter(rt, attribute, undefined, caseOf(sensitive)), 1),
  ),
  filter('sum', 'attribute? start?', (rt, value, [attribute, start = 0]) =>
    sum(rt, value, attribute, start),
  ),
  filter('groupby', 'attribute default? case_sensitive?', groupBy),
  filter('batch', 'linecount fill_with?', (rt, value, [count, fill]) =>
    generator(batches(rt, value, integerArgument(count, 'linecount'), fill ?? null)),
  ),
  filter('slice', 'slices fill_with?', (rt, value, [count, fill]) =>
    generator(slices(rt, value, integerArgument(count, 'slices'), fill ?? null)),
  ),
  ['map', (rt, args, registry) => generator(mapped(rt, args, registry))],
  [
    'select',
    (rt, args, registry) =>
      generator(selected(rt, args, registry, { attribute: false, keep: true })),
  ],
  [
    'reject',
    (rt, args, registry) =>
      generator(selected(rt, args, registry, { attribute: false, keep: false })),
  ],
  [
    'selectattr',
    (rt, args, registry) =>
      generator(selected(rt, args, registry, { attribute: true, keep: true })),
  ],
  [
    'rejectattr',
    (rt, args, registry) =>
      generator(selected(rt, args, registry, { attribute: true, keep: false })),
  ],
];

function caseOf(sensitive: Value | undefined): Getter {
  return flag(sensitive) ? (value) => value : lowered;
}

function reversible(rt: Runtime, value: Value): readonly Value[] {
  if (value instanceof Undefined) return [];
  const items = reversed(rt, value);
  if (!items) throw typeError(`'${typeName(value)}' object is not reversible`);
  return items;
}

function reverse(rt: Runtime, value: Value): Value {
  const text = stringOf(value);
  if (text !== undefined) {
    rt.allocate(text.length);
    return codePoints(text).toReversed().join('');
  }
  const items = value instanceof Undefined ? [] : reversed(rt, value);
  if (items) return new Once('list_reverseiterator', items[Symbol.iterator]());
  return listOf(rt, value).toReversed();
}

/** Fails when it is iterated over, as a generator does. */
function* pairs(value: Value): Iterator<Value> {
  if (!(value instanceof Dict)) throw typeError('Can only get item pairs from a mapping.');
  yield* itemsOf(value);
}

/** Stable in both directions, as Python's sorted(). */
function sorted(
  rt: Runtime,
  items: readonly Value[],
  key: (item: Value) => Value,
  descending: boolean,
): Value[] {
  rt.allocateItems(items.length);
  const keyed = items.map((item) => ({ item, key: key(item) }));
  const direction = descending ? -1 : 1;
  keyed.sort((a, b) => direction * compare(rt, a.key, b.key, '<'));
  return keyed.map(({ item }) => item);
}

function dictSort(rt: Runtime, value: Value, args: readonly (Value | undefined)[]): Value {
  const [sensitive, by = 'key', descending] = args;
  const place = ['key', 'value'].indexOf(stringOf(by) ?? '');
  if (place < 0) throw valueError('You can only sort by either "key" or "value"');
  if (value instanceof Undefined) value.fail();
  if (!(value instanceof Dict))
    throw typeError(`'${typeName(value)}' object has no attribute 'items'`);
  const fold = caseOf(sensitive);
  return sorted(
    rt,
    itemsOf(value),
    (pair) => fold((pair as Tuple).items[place]!),
    flag(descending),
  );
}

function* unique(rt: Runtime, value: Value, key: Getter): Iterator<Value> {
  const seen = new Set<string>();
  for (const item of iterator(rt, value)) {
    const hash = hashOf(key(item));
    if (seen.has(hash)) continue;
    rt.allocateItems(1);
    seen.add(hash);
    yield item;
  }
}

function extreme(rt: Runtime, value: Value, key: Getter, direction: 1 | -1): Value {
  const items = listOf(rt, value);
  if (items.length === 0) return new Undefined('No aggregated item, sequence was empty.');
  const operator = direction > 0 ? '>' : '<';
  return items.reduce((best, item) =>
    direction * compare(rt, key(item), key(best), operator) > 0 ? item : best,
  );
}

function sum(rt: Runtime, value: Value, attribute: Value | undefined, start: Value): Value {
  if (stringOf(start) !== undefined)
    throw typeError("sum() can't sum strings [use ''.join(seq) instead]");
  const get = attribute === undefined || attribute === null ? undefined : pathGetter(rt, attribute);
  let total = start;
  for (const item of iterator(rt, value)) total = binary(rt, '+', total, get ? get(item) : item);
  return total;
}

function groupBy(rt: Runtime, value: Value, args: readonly (Value | undefined)[]): Value {
  const [attribute, otherwise, sensitive] = args;
  const key = pathGetter(rt, attribute, otherwise, caseOf(sensitive));
  const shown = pathGetter(rt, attribute, otherwise);
  const groups: { key: Value; items: Value[] }[] = [];
  for (const item of sorted(rt, listOf(rt, value), key, false)) {
    const own = key(item);
    const last = groups.at(-1);
    if (last && equal(rt, last.key, own)) last.items.push(item);
    else groups.push({ key: own, items: [item] });
  }
  return groups.map(({ items }) => new Tuple([shown(items[0]!), items], ['grouper', 'list']));
}

function* batches(rt: Runtime, value: Value, count: number, fill: Value): Iterator<Value> {
  let batch: Value[] = [];
  for (const item of iterator(rt, value)) {
    if (batch.length === count) {
      yield batch;
      batch = [];
    }
    rt.allocateItems(1);
    batch.push(item);
  }
  if (batch.length === 0) return;
  yield fill === null ? batch : padded(rt, batch, count - batch.length, fill);
}

function padded(rt: Runtime, items: readonly Value[], missing: number, fill: Value): Value[] {
  if (missing <= 0) return [...items];
  rt.allocateItems(missing);
  return [...items, ...Array.from({ length: missing }, () => fill)];
}

function* slices(rt: Runtime, value: Value, count: number, fill: Value): Iterator<Value> {
  const items = listOf(rt, value);
  if (count === 0)
    throw new TemplateFault('ZeroDivisionError', 'integer division or modulo by zero');
  const each = Math.floor(items.length / count);
  const longer = items.length - each * count;
  let start = 0;
  for (let i = 0; i < count; i++) {
    const end = start + each + (i < longer ? 1 : 0);
    rt.allocateItems(1 + end - start);
    const part = items.slice(start, end);
    yield fill !== null && i >= longer ? [...part, fill] : part;
    start = end;
  }
}

function* mapped(rt: Runtime, args: Arguments, registry: Registry): Iterator<Value> {
  const [value, ...rest] = args.positional as [Value, ...Value[]];
  if (!truth(value)) return;
  const change = mapping(rt, { positional: rest, named: args.named }, registry);
  for (const item of iterator(rt, value)) yield change(item);
}

function mapping(rt: Runtime, { positional, named }: Arguments, registry: Registry): Getter {
  if (positional.length === 0 && named.has('attribute')) {
    for (const name of named.keys())
      if (name !== 'attribute' && name !== 'default')
        throw typeError(`Unexpected keyword argument '${name}'`);
    return pathGetter(rt, named.get('attribute'), named.get('default'));
  }
  const [name, ...rest] = positional;
  const filterName = stringOf(name);
  if (filterName === undefined) throw typeError('map requires a filter argument');
  return (item) => registry.filter(rt, filterName, { positional: [item, ...rest], named });
}

interface Selection {
  /** The test is made on an attribute of each item. */
  readonly attribute: boolean;
  /** False: items that pass the test are left out. */
  readonly keep: boolean;
}

function* selected(
  rt: Runtime,
  args: Arguments,
  registry: Registry,
  { attribute, keep }: Selection,
): Iterator<Value> {
  const [value, ...rest] = args.positional as [Value, ...Value[]];
  if (!truth(value)) return;
  if (attribute && rest.length === 0) throw typeError('Missing parameter for attribute name');
  const get = attribute ? pathGetter(rt, rest.shift()) : (item: Value) => item;
  const [name, ...more] = rest;
  const testName = stringOf(name);
  if (name !== undefined && testName === undefined)
    throw typeError('the name of a test must be text');
  const passes = (item: Value) =>
    testName === undefined
      ? truth(get(item))
      : registry.test(rt, testName, { positional: [get(item), ...more], named: args.named });
  for (const item of iterator(rt, value)) if (passes(item) === keep) yield item;
}
