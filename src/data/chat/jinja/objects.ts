import { typeError, TemplateFault } from './faults';
import { iterate, iterator } from './iterate';
import { indexOf } from './numbers';
import type { Runtime } from './runtime';
import { reprOf, reprOfString } from './text';
import {
  Callable,
  Dict,
  isList,
  TemplateObject,
  Tuple,
  Undefined,
  type Arguments,
  type Value,
} from './values';

/** The longest range that the sandbox allows. */
const MAX_RANGE = 100_000;

/** What can be iterated over once: the result of map, select, items, …. */
export class Once extends TemplateObject {
  constructor(
    readonly typeName: string,
    private readonly items: Iterator<Value>,
  ) {
    super();
  }

  override iterate(): Iterator<Value> {
    return this.items;
  }
}

export class Range extends TemplateObject {
  readonly typeName = 'range';
  override readonly length: number;

  constructor(
    readonly start: number,
    readonly stop: number,
    readonly stride: number,
  ) {
    super();
    if (stride === 0) throw new TemplateFault('ValueError', 'range() arg 3 must not be zero');
    this.length = Math.max(0, Math.ceil((stop - start) / stride));
    if (this.length > MAX_RANGE)
      throw new TemplateFault(
        'OverflowError',
        `Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MAX_RANGE}).`,
      );
  }

  override text(): string {
    const step = this.stride === 1 ? '' : `, ${this.stride}`;
    return `range(${this.start}, ${this.stop}${step})`;
  }

  override item(index: number): Value | undefined {
    const place = index < 0 ? index + this.length : index;
    return place >= 0 && place < this.length ? this.start + place * this.stride : undefined;
  }

  override equals(_rt: Runtime, other: TemplateObject): boolean {
    if (!(other instanceof Range) || other.length !== this.length) return false;
    if (this.length === 0) return true;
    return this.start === other.start && (this.length === 1 || this.stride === other.stride);
  }

  override *iterate(): Iterator<Value> {
    for (let i = 0; i < this.length; i++) yield this.start + i * this.stride;
  }
}

/** What keys(), values() and items() of a dictionary return. */
export class DictView extends TemplateObject {
  readonly typeName: string;
  override readonly length: number;

  constructor(
    kind: 'keys' | 'values' | 'items',
    private readonly items: readonly Value[],
  ) {
    super();
    this.typeName = `dict_${kind}`;
    this.length = items.length;
  }

  static keys(dict: Dict): DictView {
    return new DictView('keys', dict.keys());
  }

  static values(dict: Dict): DictView {
    return new DictView('values', dict.values());
  }

  static items(dict: Dict): DictView {
    return new DictView('items', itemsOf(dict));
  }

  override text(rt: Runtime): string {
    return `${this.typeName}(${reprOf(rt, this.items)})`;
  }

  override iterate(): Iterator<Value> {
    return this.items[Symbol.iterator]();
  }
}

/** The key and value pairs of a dictionary. */
export function itemsOf(dict: Dict): Value[] {
  return Array.from(dict.entries(), (entry) => new Tuple(entry));
}

export class Namespace extends TemplateObject {
  readonly typeName = 'Namespace';
  private readonly attributes = new Map<string, Value>();

  constructor(entries: Iterable<readonly [string, Value]>) {
    super();
    for (const [name, value] of entries) this.set(name, value);
  }

  set(name: string, value: Value): void {
    if (name.startsWith('_'))
      throw new TemplateFault(
        'SecurityError',
        `Chat templates cannot store underscore-prefixed attributes on a namespace, but got ${reprOfString(name)}. Please rename the attribute.`,
      );
    this.attributes.set(name, value);
  }

  override attribute(name: string): Value | undefined {
    return this.attributes.get(name);
  }

  override text(rt: Runtime): string {
    return `<Namespace ${reprOf(rt, Dict.of(this.attributes))}>`;
  }
}

/** Goes around its items: the global function cycler. */
export class Cycler extends TemplateObject {
  readonly typeName = 'Cycler';
  private position = 0;

  constructor(private readonly items: readonly Value[]) {
    super();
    if (items.length === 0)
      throw new TemplateFault('RuntimeError', 'at least one item has to be provided');
  }

  override attribute(name: string): Value | undefined {
    switch (name) {
      case 'next':
      case '__next__':
        return new Callable('next', () => this.next());
      case 'reset':
        return new Callable('reset', () => {
          this.position = 0;
          return null;
        });
      case 'current':
        return this.items[this.position]!;
      case 'items':
        return new Tuple(this.items);
      case 'pos':
        return this.position;
      default:
        return undefined;
    }
  }

  private next(): Value {
    const item = this.items[this.position]!;
    this.position = (this.position + 1) % this.items.length;
    return item;
  }
}

/** Empty when first called, then its separator: the global function joiner. */
export class Joiner extends TemplateObject {
  readonly typeName = 'Joiner';
  private used = false;

  constructor(private readonly separator: Value) {
    super();
  }

  override attribute(name: string): Value | undefined {
    if (name === 'sep') return this.separator;
    return name === 'used' ? this.used : undefined;
  }

  override call(): Value {
    if (this.used) return this.separator;
    this.used = true;
    return '';
  }
}

interface LoopOptions {
  /** How many recursive loops this one is in. */
  readonly depth: number;
  /** Renders the loop for other items; undefined: it is not recursive. */
  readonly recurse: ((iterable: Value, depth: number) => Value) | undefined;
  readonly same: (a: readonly Value[], b: readonly Value[]) => boolean;
}

/** The variable `loop` of a for loop. */
export class Loop extends TemplateObject {
  readonly typeName = 'LoopContext';
  private index0 = -1;
  private known: number | undefined;
  private items: Iterator<Value>;
  private ahead: IteratorResult<Value> | undefined;
  private current: Value = null;
  private before: Value = null;
  private changedFrom: readonly Value[] | undefined;

  constructor(
    private readonly rt: Runtime,
    iterable: Value,
    private readonly options: LoopOptions,
  ) {
    super();
    this.items = iterator(rt, iterable);
    this.known = sizeOf(iterable);
  }

  /** Goes to the next item. */
  next(): IteratorResult<Value> {
    const result = this.ahead ?? this.items.next();
    this.ahead = undefined;
    if (result.done === true) return result;
    this.index0++;
    this.before = this.current;
    this.current = result.value;
    return result;
  }

  private peek(): IteratorResult<Value> {
    this.ahead ??= this.items.next();
    return this.ahead;
  }

  private size(): number {
    if (this.known !== undefined) return this.known;
    const rest = Array.from({ [Symbol.iterator]: () => this.items });
    this.items = rest[Symbol.iterator]();
    const seen = this.ahead !== undefined && this.ahead.done !== true ? 1 : 0;
    this.known = rest.length + this.index0 + 1 + seen;
    return this.known;
  }

  override attribute(name: string): Value | undefined {
    return Object.hasOwn(this.attributes, name) ? this.attributes[name]!() : undefined;
  }

  private readonly attributes: Readonly<Record<string, () => Value>> = {
    index: () => this.index0 + 1,
    index0: () => this.index0,
    revindex: () => this.size() - this.index0,
    revindex0: () => this.size() - this.index0 - 1,
    first: () => this.index0 === 0,
    last: () => this.peek().done === true,
    length: () => this.size(),
    depth: () => this.options.depth + 1,
    depth0: () => this.options.depth,
    previtem: () => (this.index0 === 0 ? new Undefined('there is no previous item') : this.before),
    nextitem: () => {
      const next = this.peek();
      return next.done === true ? new Undefined('there is no next item') : next.value;
    },
    cycle: () => new Callable('cycle', (_, { positional }) => this.cycle(positional)),
    changed: () => new Callable('changed', (_, { positional }) => this.changed(positional)),
  };

  private cycle(items: readonly Value[]): Value {
    if (items.length === 0) throw typeError('no items for cycling given');
    return items[this.index0 % items.length]!;
  }

  private changed(values: readonly Value[]): boolean {
    if (this.changedFrom && this.options.same(this.changedFrom, values)) return false;
    this.changedFrom = values;
    return true;
  }

  override call(_: Runtime, { positional }: Arguments): Value {
    const { recurse, depth } = this.options;
    if (!recurse)
      throw typeError("The loop must have the 'recursive' marker to be called recursively.");
    const [iterable] = positional;
    if (iterable === undefined) throw typeError('loop() takes one argument');
    return this.rt.nested(() => recurse(iterable, depth + 1));
  }

  override text(): string {
    return `<LoopContext ${this.index0 + 1}/${this.size()}>`;
  }
}

function sizeOf(iterable: Value): number | undefined {
  if (isList(iterable)) return iterable.length;
  if (iterable instanceof Tuple) return iterable.items.length;
  if (iterable instanceof Dict) return iterable.size;
  if (iterable instanceof Undefined) return 0;
  return iterable instanceof TemplateObject ? iterable.length : undefined;
}

/** The range of integers that these arguments describe. */
export function rangeOf(args: readonly Value[]): Range {
  if (args.length < 1 || args.length > 3) throw typeError('range expects 1 to 3 arguments');
  const numbers = args.map((arg) => {
    if (arg instanceof Undefined) arg.fail();
    const number = indexOf(arg);
    if (number === undefined) throw typeError('range() takes integers only');
    return number;
  });
  const [first, second, step = 1] = numbers as [number, number?, number?];
  return second === undefined ? new Range(0, first, step) : new Range(first, second, step);
}

/** The items of a collection from its end. */
export function reversed(rt: Runtime, value: Value): readonly Value[] | undefined {
  if (isList(value)) return value.toReversed();
  if (value instanceof Tuple) return value.items.toReversed();
  if (value instanceof Dict) return value.keys().reverse();
  if (value instanceof Range || value instanceof DictView)
    return Array.from(iterate(rt, value)).reverse();
  return undefined;
}
