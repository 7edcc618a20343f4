import type {
  BinaryOperator,
  CallArguments,
  CallExpression,
  CompareOperator,
  Constant,
  Expression,
  FilterExpression,
} from './nodes';
import { describe, type TokenStream } from './tokenStream';

const NO_ARGUMENTS: CallArguments = { positional: [], named: [], rest: null, namedRest: null };
const CONSTANTS: Readonly<Record<string, Constant>> = {
  true: { type: 'bool', value: true },
  True: { type: 'bool', value: true },
  false: { type: 'bool', value: false },
  False: { type: 'bool', value: false },
  none: { type: 'none' },
  None: { type: 'none' },
};
const COMPARISONS: readonly string[] = ['==', '!=', '<', '<=', '>', '>='];
/** What may start the argument of a test that is written without parentheses. */
const ARGUMENT_STARTS: readonly string[] = ['name', 'string', 'integer', 'float', '[', '{'];

export interface TupleOptions {
  /** False: `a if b` is not read as a condition. */
  readonly conditions?: boolean;
  readonly endName?: string;
  readonly parenthesized?: boolean;
}

/** Reads expressions by Jinja's grammar. */
export class ExpressionParser {
  constructor(readonly stream: TokenStream) {}

  expression(conditions = true): Expression {
    return conditions ? this.conditional() : this.or();
  }

  /** One expression, or a tuple of several with commas between them. */
  tuple({ conditions = true, endName, parenthesized = false }: TupleOptions = {}): Expression {
    const { stream } = this;
    const { line } = stream.current;
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) stream.expect(',');
      if (this.atTupleEnd(endName)) break;
      items.push(this.expression(conditions));
      if (!stream.is(',')) break;
      isTuple = true;
    }
    if (isTuple) return { kind: 'tuple', items, line };
    if (items.length > 0) return items[0]!;
    if (!parenthesized) stream.fail(`Expected an expression, got '${describe(stream.current)}'`);
    return { kind: 'tuple', items, line };
  }

  atTupleEnd(endName: string | undefined): boolean {
    const { stream } = this;
    if (endName !== undefined && stream.isName(endName)) return true;
    return stream.is('variable_end') || stream.is('block_end') || stream.is(')');
  }

  private conditional(): Expression {
    const { stream } = this;
    let { line } = stream.current;
    let value = this.or();
    while (stream.skipName('if')) {
      const test = this.or();
      const otherwise = stream.skipName('else') ? this.conditional() : null;
      value = { kind: 'conditional', test, then: value, otherwise, line };
      line = stream.current.line;
    }
    return value;
  }

  private or(): Expression {
    let left = this.and();
    while (this.stream.isName('or')) {
      const { line } = this.stream.take();
      left = { kind: 'logical', operator: 'or', left, right: this.and(), line };
    }
    return left;
  }

  private and(): Expression {
    let left = this.not();
    while (this.stream.isName('and')) {
      const { line } = this.stream.take();
      left = { kind: 'logical', operator: 'and', left, right: this.not(), line };
    }
    return left;
  }

  private not(): Expression {
    if (!this.stream.isName('not')) return this.compare();
    const { line } = this.stream.take();
    return { kind: 'unary', operator: 'not', operand: this.not(), line };
  }

  private compare(): Expression {
    const { line } = this.stream.current;
    const first = this.sum();
    const rest: [CompareOperator, Expression][] = [];
    for (;;) {
      const operator = this.compareOperator();
      if (operator === null) break;
      rest.push([operator, this.sum()]);
    }
    return rest.length === 0 ? first : { kind: 'compare', first, rest, line };
  }

  private compareOperator(): CompareOperator | null {
    const { stream } = this;
    if (COMPARISONS.includes(stream.current.type)) return stream.take().type as CompareOperator;
    if (stream.skipName('in')) return 'in';
    const { following } = stream;
    if (!stream.isName('not') || following.type !== 'name' || following.value !== 'in') return null;
    stream.take();
    stream.take();
    return 'not in';
  }

  private sum(): Expression {
    return this.binary(['+', '-'], () => this.concat());
  }

  private concat(): Expression {
    const { line } = this.stream.current;
    const parts = [this.product()];
    while (this.stream.skip('~')) parts.push(this.product());
    return parts.length === 1 ? parts[0]! : { kind: 'concat', parts, line };
  }

  private product(): Expression {
    return this.binary(['*', '/', '//', '%'], () => this.power());
  }

  private power(): Expression {
    return this.binary(['**'], () => this.unary(true));
  }

  /** Operators of one precedence, from left to right (in Jinja, ** too). */
  private binary(operators: readonly string[], operand: () => Expression): Expression {
    let left = operand();
    while (operators.includes(this.stream.current.type)) {
      const { type, line } = this.stream.take();
      left = { kind: 'binary', operator: type as BinaryOperator, left, right: operand(), line };
    }
    return left;
  }

  private unary(withFilters: boolean): Expression {
    const { stream } = this;
    const { type, line } = stream.current;
    let value: Expression;
    if (type === '-' || type === '+') {
      stream.take();
      value = { kind: 'unary', operator: type, operand: this.unary(false), line };
    } else {
      value = this.primary();
    }
    value = this.postfix(value);
    return withFilters ? this.filtersAndTests(value) : value;
  }

  primary(): Expression {
    const { stream } = this;
    const { type, value, line } = stream.current;
    switch (type) {
      case 'name': {
        stream.take();
        const constant = Object.hasOwn(CONSTANTS, value) ? CONSTANTS[value] : undefined;
        return constant
          ? { kind: 'constant', value: constant, line }
          : { kind: 'name', name: value, line };
      }
      case 'string':
        return { kind: 'constant', value: { type: 'string', value: this.strings() }, line };
      case 'integer':
        stream.take();
        return { kind: 'constant', value: { type: 'integer', value: BigInt(value) }, line };
      case 'float':
        stream.take();
        return { kind: 'constant', value: { type: 'float', value: Number(value) }, line };
      case '(': {
        stream.take();
        const tuple = this.tuple({ parenthesized: true });
        stream.expect(')');
        return tuple;
      }
      case '[':
        return this.list();
      case '{':
        return this.dict();
      default:
        return stream.fail(`unexpected '${describe(stream.current)}'`);
    }
  }

  /** String literals that follow each other are one. */
  private strings(): string {
    let text = '';
    while (this.stream.is('string')) text += this.stream.take().value;
    return text;
  }

  private list(): Expression {
    const { line } = this.stream.expect('[');
    const items: Expression[] = [];
    this.separated(']', () => items.push(this.expression()));
    return { kind: 'list', items, line };
  }

  private dict(): Expression {
    const { line } = this.stream.expect('{');
    const pairs: [Expression, Expression][] = [];
    this.separated('}', () => {
      const key = this.expression();
      this.stream.expect(':');
      pairs.push([key, this.expression()]);
    });
    return { kind: 'dict', pairs, line };
  }

  /** Items with commas between them and, where there is one, after the last. */
  private separated(end: string, item: () => unknown): void {
    const { stream } = this;
    for (let first = true; !stream.is(end); first = false) {
      if (!first) stream.expect(',');
      if (stream.is(end)) break;
      item();
    }
    stream.expect(end);
  }

  private postfix(start: Expression): Expression {
    let value = start;
    for (;;) {
      const { type } = this.stream.current;
      if (type === '.') value = this.attribute(value);
      else if (type === '[') value = this.subscript(value);
      else if (type === '(') value = this.call(value);
      else return value;
    }
  }

  private attribute(object: Expression): Expression {
    const { line } = this.stream.expect('.');
    const token = this.stream.take();
    if (token.type === 'name') return { kind: 'attribute', object, name: token.value, line };
    if (token.type !== 'integer') this.stream.fail('expected name or number', token.line);
    const value: Constant = { type: 'integer', value: BigInt(token.value) };
    return { kind: 'item', object, index: { kind: 'constant', value, line }, line };
  }

  private subscript(object: Expression): Expression {
    const { stream } = this;
    const { line } = stream.expect('[');
    const parts: (Expression | readonly (Expression | null)[])[] = [];
    while (!stream.is(']')) {
      if (parts.length > 0) stream.expect(',');
      parts.push(this.indexOrSlice());
    }
    stream.expect(']');
    const [only] = parts;
    if (parts.length === 1 && isBounds(only!)) return { kind: 'slice', object, bounds: only, line };
    const items = parts.map((part) =>
      isBounds(part) ? stream.fail('a slice stands alone between brackets', line) : part,
    );
    const index: Expression = items.length === 1 ? items[0]! : { kind: 'tuple', items, line };
    return { kind: 'item', object, index, line };
  }

  /** An index, or the start, stop and step of a slice. */
  private indexOrSlice(): Expression | readonly (Expression | null)[] {
    const { stream } = this;
    const bound = () =>
      stream.is(':') || stream.is(']') || stream.is(',') ? null : this.expression();
    const start = bound();
    if (!stream.skip(':')) return start ?? stream.fail(`unexpected '${describe(stream.current)}'`);
    const stop = bound();
    return [start, stop, stream.skip(':') ? bound() : null];
  }

  private call(callee: Expression): CallExpression {
    const { line } = this.stream.current;
    return { kind: 'call', callee, call: this.callArguments(), line };
  }

  private callArguments(): CallArguments {
    const { stream } = this;
    const { line } = stream.expect('(');
    const positional: Expression[] = [];
    const named: [string, Expression][] = [];
    let rest: Expression | null = null;
    let namedRest: Expression | null = null;
    const ensure = (valid: boolean) => {
      if (!valid) stream.fail('invalid syntax for function call expression', line);
    };
    this.separated(')', () => {
      if (stream.skip('*')) {
        ensure(rest === null && namedRest === null);
        rest = this.expression();
      } else if (stream.skip('**')) {
        ensure(namedRest === null);
        namedRest = this.expression();
      } else if (stream.is('name') && stream.following.type === '=') {
        ensure(namedRest === null);
        const name = stream.take().value;
        stream.take();
        if (named.some(([known]) => known === name))
          stream.fail(`keyword argument repeated: ${name}`);
        named.push([name, this.expression()]);
      } else {
        ensure(rest === null && namedRest === null && named.length === 0);
        positional.push(this.expression());
      }
    });
    return { positional, named, rest, namedRest };
  }

  private filtersAndTests(start: Expression): Expression {
    let value = start;
    for (;;) {
      if (this.stream.is('|')) value = this.filters(value);
      else if (this.stream.isName('is')) value = this.test(value);
      else if (this.stream.is('(')) value = this.call(value);
      else return value;
    }
  }

  /** `| name(…) | …` after an expression. */
  private filters(start: Expression): Expression {
    let value = start;
    while (this.stream.skip('|')) value = this.filter(value);
    return value;
  }

  /** The filters of a block: they apply to its body. Null: there are none. */
  blockFilters(withoutPipe: boolean): FilterExpression | null {
    let value: FilterExpression | null = withoutPipe ? this.filter(null) : null;
    while (this.stream.skip('|')) value = this.filter(value);
    return value;
  }

  private filter(operand: Expression | null): FilterExpression {
    const { line } = this.stream.current;
    const name = this.dottedName();
    const call = this.stream.is('(') ? this.callArguments() : NO_ARGUMENTS;
    return { kind: 'filter', operand, name, call, line };
  }

  private dottedName(): string {
    let name = this.stream.expect('name').value;
    while (this.stream.skip('.')) name += `.${this.stream.expect('name').value}`;
    return name;
  }

  private test(operand: Expression): Expression {
    const { stream } = this;
    const { line } = stream.expectName('is');
    const negated = stream.skipName('not');
    const name = this.dottedName();
    const test: Expression = { kind: 'test', operand, name, call: this.testArguments(), line };
    return negated ? { kind: 'unary', operator: 'not', operand: test, line } : test;
  }

  private testArguments(): CallArguments {
    const { stream } = this;
    if (stream.is('(')) return this.callArguments();
    if (!ARGUMENT_STARTS.includes(stream.current.type) || stream.isName('else', 'or', 'and'))
      return NO_ARGUMENTS;
    if (stream.isName('is')) stream.fail('You cannot chain multiple tests with is');
    return { ...NO_ARGUMENTS, positional: [this.postfix(this.primary())] };
  }
}

function isBounds(
  part: Expression | readonly (Expression | null)[],
): part is readonly (Expression | null)[] {
  return Array.isArray(part);
}
