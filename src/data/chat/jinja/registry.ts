import { contains, compare, equal } from './compare';
import { isLower, isUpper } from './case';
import { TemplateFault, typeError } from './faults';
import { filter, type Filter, type Registry } from './filterTypes';
import { canIterate, lengthIfAny } from './iterate';
import { toJson } from './json';
import { LIST_FILTERS } from './listFilters';
import { getAttribute } from './access';
import { binary } from './arithmetic';
import { NUMBER_FILTERS } from './numberFilters';
import { numberOf } from './numbers';
import { Namespace } from './objects';
import type { Runtime } from './runtime';
import { bind, flag, textArgument } from './signature';
import { reprOf, textOf } from './text';
import { TEXT_FILTERS } from './textFilters';
import {
  Callable,
  Dict,
  Float,
  isInteger,
  Markup,
  stringOf,
  TemplateObject,
  truth,
  Undefined,
  type Arguments,
  type Value,
} from './values';

/** Filters of Jinja that templates of chats have no use for. */
const UNSUPPORTED_FILTERS: readonly string[] = ['random', 'urlize', 'wordwrap'];

const otherwise = (
  _: Runtime,
  value: Value,
  [instead = '', boolean]: readonly (Value | undefined)[],
) => (value instanceof Undefined || (flag(boolean) && !truth(value)) ? instead : value);

const FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ...LIST_FILTERS,
  ...TEXT_FILTERS,
  ...NUMBER_FILTERS,
  filter('default', 'default_value? boolean?', otherwise),
  filter('d', 'default_value? boolean?', otherwise),
  filter('attr', 'name', (rt, value, [name]) => {
    const key = textArgument(name, 'name');
    if (value instanceof Dict && !DICT_METHODS.includes(key))
      return new Undefined(`'dict object' has no attribute '${key}'`);
    return getAttribute(rt, value, key);
  }),
  filter('pprint', '', (rt, value) => {
    const text = reprOf(rt, value);
    if (text.length <= 80 && !(value instanceof Dict)) return text;
    throw typeError('the filter pprint is supported for short values only');
  }),
  ['tojson', (rt, args) => toJson(rt, args)],
  ...UNSUPPORTED_FILTERS.map((name): [string, Filter] => [
    name,
    () => {
      throw typeError(`the filter ${name} is not supported`);
    },
  ]),
]);

const DICT_METHODS: readonly string[] = ['get', 'keys', 'values', 'items', 'copy', 'fromkeys'];

type Test = (rt: Runtime, value: Value, args: readonly (Value | undefined)[]) => boolean;

const plain = (run: (value: Value) => boolean): [string, Test] => ['', (_, value) => run(value)];
const order = (operator: string, holds: (order: number) => boolean): [string, Test] => [
  'other',
  (rt, value, [other]) => holds(compare(rt, value, other!, operator)),
];
const EQUAL: [string, Test] = ['other', (rt, value, [other]) => equal(rt, value, other!)];
const UNEQUAL: [string, Test] = ['other', (rt, value, [other]) => !equal(rt, value, other!)];
const LESS = order('<', (n) => n < 0);
const LESS_OR_EQUAL = order('<=', (n) => n <= 0);
const GREATER = order('>', (n) => n > 0);
const GREATER_OR_EQUAL = order('>=', (n) => n >= 0);

const restIs = (rt: Runtime, value: Value, divisor: Value, rest: number) =>
  equal(rt, binary(rt, '%', value, divisor), rest);

/** Each test with the signature of what it takes beside the value. */
const TESTS: ReadonlyMap<string, readonly [string, Test]> = new Map<
  string,
  readonly [string, Test]
>([
  ['odd', ['', (rt, value) => restIs(rt, value, 2, 1)]],
  ['even', ['', (rt, value) => restIs(rt, value, 2, 0)]],
  ['divisibleby', ['num', (rt, value, [divisor]) => restIs(rt, value, divisor!, 0)]],
  ['defined', plain((value) => !(value instanceof Undefined))],
  ['undefined', plain((value) => value instanceof Undefined)],
  ['none', plain((value) => value === null)],
  ['boolean', plain((value) => typeof value === 'boolean')],
  ['true', plain((value) => value === true)],
  ['false', plain((value) => value === false)],
  ['integer', plain(isInteger)],
  ['float', plain((value) => value instanceof Float)],
  ['number', plain((value) => numberOf(value) !== undefined)],
  ['string', plain((value) => stringOf(value) !== undefined)],
  ['mapping', plain((value) => value instanceof Dict)],
  ['sequence', plain(isSequence)],
  ['iterable', plain(canIterate)],
  ['callable', plain(isCallable)],
  ['escaped', plain((value) => value instanceof Markup)],
  ['lower', ['', (rt, value) => isLower(textOf(rt, value))]],
  ['upper', ['', (rt, value) => isUpper(textOf(rt, value))]],
  ['sameas', ['other', (_, value, [other]) => value === other]],
  ['in', ['seq', (rt, value, [container]) => contains(rt, container!, value)]],
  ['filter', plain((value) => FILTERS.has(stringOf(value) ?? ''))],
  ['test', plain((value) => TESTS.has(stringOf(value) ?? ''))],
  ...['==', 'eq', 'equalto'].map((name) => [name, EQUAL] as const),
  ...['!=', 'ne'].map((name) => [name, UNEQUAL] as const),
  ...['<', 'lt', 'lessthan'].map((name) => [name, LESS] as const),
  ...['<=', 'le'].map((name) => [name, LESS_OR_EQUAL] as const),
  ...['>', 'gt', 'greaterthan'].map((name) => [name, GREATER] as const),
  ...['>=', 'ge'].map((name) => [name, GREATER_OR_EQUAL] as const),
]);

function isSequence(value: Value): boolean {
  if (value instanceof TemplateObject) return value.item !== undefined;
  return lengthIfAny(value) !== undefined;
}

function isCallable(value: Value): boolean {
  if (value instanceof Callable || value instanceof Undefined) return true;
  return (
    value instanceof TemplateObject && !(value instanceof Namespace) && value.call !== undefined
  );
}

export const REGISTRY: Registry = {
  hasFilter: (name) => FILTERS.has(name),
  hasTest: (name) => TESTS.has(name),
  filter(rt, name, args) {
    const run = FILTERS.get(name);
    if (!run) throw new TemplateFault('TemplateRuntimeError', `No filter named '${name}'.`);
    rt.step();
    return run(rt, args, REGISTRY);
  },
  test(rt, name, args) {
    const entry = TESTS.get(name);
    if (!entry) throw new TemplateFault('TemplateRuntimeError', `No test named '${name}'.`);
    const [signature, run] = entry;
    rt.step();
    const [value, ...rest] = bind(name, `value ${signature}`, args);
    return run(rt, value!, rest);
  },
};

export function callValue(rt: Runtime, callee: Value, args: Arguments): Value {
  rt.step();
  if (callee instanceof Callable) return callee.call(rt, args);
  if (callee instanceof Undefined) callee.fail();
  if (callee instanceof TemplateObject && callee.call) return callee.call(rt, args);
  throw typeError(`'${reprOf(rt, callee).slice(0, 40)}' object is not callable`);
}
