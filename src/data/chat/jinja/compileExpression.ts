import { getAttribute, getItem, namesOf } from './access';
import { binary, concatAll, signed } from './arithmetic';
import { compare, contains, equal } from './compare';
import { TemplateSyntaxFault, typeError } from './faults';
import { reader, type Frame } from './frame';
import { listOf } from './iterate';
import type {
  AccessExpression,
  CallArguments,
  CallExpression,
  CompareOperator,
  Constant,
  Expression,
  FilterExpression,
} from './nodes';
import { callValue, REGISTRY } from './registry';
import type { Runtime } from './runtime';
import { slice } from './slices';
import type { Symbols } from './symbols';
import { reprOfString } from './text';
import {
  Dict,
  Float,
  integer,
  truth,
  Tuple,
  Undefined,
  type Arguments,
  type Value,
} from './values';

export type Evaluate = (rt: Runtime, frame: Frame) => Value;
type EvaluateArguments = (rt: Runtime, frame: Frame, first: readonly Value[]) => Arguments;

/** Where an expression stands. */
export interface Surroundings {
  readonly symbols: Symbols;
  /**
   * True inside of conditions: a filter that does not exist is an error only when it is used there,
   * and one of the whole template elsewhere.
   */
  readonly soft: boolean;
}

/** @throws TemplateSyntaxFault for filters and tests that do not exist. */
export function compileExpression(node: Expression, at: Surroundings): Evaluate {
  const inner = (child: Expression) => compileExpression(child, at);
  switch (node.kind) {
    case 'constant': {
      const value = constantOf(node.value);
      return () => value;
    }
    case 'name':
      return compileName(node.name, at.symbols);
    case 'tuple':
    case 'list':
      return compileItems(node.items.map(inner), node.kind);
    case 'dict':
      return compileDict(
        node.pairs.map(([key, value]) => [inner(key), inner(value)]),
        node.line,
      );
    case 'unary':
      return compileUnary(node.operator, inner(node.operand), node.line);
    case 'binary': {
      const [left, right] = [inner(node.left), inner(node.right)];
      const { operator, line } = node;
      return (rt, frame) => {
        const a = left(rt, frame);
        const b = right(rt, frame);
        rt.line = line;
        return binary(rt, operator, a, b);
      };
    }
    case 'logical':
      return compileLogical(node.operator, inner(node.left), inner(node.right));
    case 'concat': {
      const parts = node.parts.map(inner);
      return (rt, frame) =>
        concatAll(
          rt,
          parts.map((part) => part(rt, frame)),
        );
    }
    case 'compare':
      return compileCompare(
        inner(node.first),
        node.rest.map(([operator, operand]) => [operator, inner(operand)]),
        node.line,
      );
    case 'conditional':
      return compileConditional(node, { ...at, soft: true });
    default:
      return compileAccess(node, at);
  }
}

function compileAccess(node: AccessExpression, at: Surroundings): Evaluate {
  switch (node.kind) {
    case 'attribute': {
      const object = compileExpression(node.object, at);
      const { name, line } = node;
      return (rt, frame) => {
        const value = object(rt, frame);
        rt.line = line;
        return getAttribute(rt, value, name);
      };
    }
    case 'item': {
      const object = compileExpression(node.object, at);
      const index = compileExpression(node.index, at);
      const { line } = node;
      return (rt, frame) => {
        const value = object(rt, frame);
        const key = index(rt, frame);
        rt.line = line;
        return getItem(rt, value, key);
      };
    }
    case 'slice': {
      const object = compileExpression(node.object, at);
      const bounds = node.bounds.map((bound) => bound && compileExpression(bound, at));
      const { line } = node;
      return (rt, frame) => {
        const value = object(rt, frame);
        const places = bounds.map((bound) => bound && bound(rt, frame));
        rt.line = line;
        return slice(rt, value, places);
      };
    }
    case 'call':
      return compileCall(node, at);
    case 'filter':
      return compileFilter(node, at, node.operand && compileExpression(node.operand, at));
    case 'test':
      return compileTest(node, at);
  }
}

function constantOf(constant: Constant): Value {
  switch (constant.type) {
    case 'none':
      return null;
    case 'integer':
      return integer(constant.value);
    case 'float':
      return new Float(constant.value);
    default:
      return constant.value;
  }
}

function compileName(name: string, symbols: Symbols): Evaluate {
  const read = reader(symbols.find(name)!, symbols.scope);
  const message = `${reprOfString(name)} is undefined`;
  return (_, frame) => {
    const value = read(frame);
    return value === undefined ? new Undefined(message) : value;
  };
}

function compileItems(items: readonly Evaluate[], kind: 'tuple' | 'list'): Evaluate {
  return (rt, frame) => {
    rt.allocateItems(items.length);
    const values = items.map((item) => item(rt, frame));
    return kind === 'list' ? values : new Tuple(values);
  };
}

function compileDict(pairs: readonly (readonly [Evaluate, Evaluate])[], line: number): Evaluate {
  return (rt, frame) => {
    rt.allocateItems(pairs.length);
    const entries = pairs.map(([key, value]) => [key(rt, frame), value(rt, frame)] as const);
    rt.line = line;
    return Dict.of(entries);
  };
}

function compileUnary(operator: 'not' | '+' | '-', operand: Evaluate, line: number): Evaluate {
  if (operator === 'not') return (rt, frame) => !truth(operand(rt, frame));
  return (rt, frame) => {
    const value = operand(rt, frame);
    rt.line = line;
    return signed(operator, value);
  };
}

function compileLogical(operator: 'and' | 'or', left: Evaluate, right: Evaluate): Evaluate {
  const stops = operator === 'or';
  return (rt, frame) => {
    rt.step();
    const value = left(rt, frame);
    return truth(value) === stops ? value : right(rt, frame);
  };
}

function compileCompare(
  first: Evaluate,
  rest: readonly (readonly [CompareOperator, Evaluate])[],
  line: number,
): Evaluate {
  return (rt, frame) => {
    let left = first(rt, frame);
    for (const [operator, operand] of rest) {
      const right = operand(rt, frame);
      rt.line = line;
      if (!holds(rt, operator, left, right)) return false;
      left = right;
    }
    return true;
  };
}

function holds(rt: Runtime, operator: CompareOperator, a: Value, b: Value): boolean {
  switch (operator) {
    case '==':
      return equal(rt, a, b);
    case '!=':
      return !equal(rt, a, b);
    case '<':
      return compare(rt, a, b, operator) < 0;
    case '<=':
      return compare(rt, a, b, operator) <= 0;
    case '>':
      return compare(rt, a, b, operator) > 0;
    case '>=':
      return compare(rt, a, b, operator) >= 0;
    case 'in':
      return contains(rt, b, a);
    case 'not in':
      return !contains(rt, b, a);
  }
}

function compileConditional(
  node: Extract<Expression, { kind: 'conditional' }>,
  at: Surroundings,
): Evaluate {
  const test = compileExpression(node.test, at);
  const then = compileExpression(node.then, at);
  const otherwise = node.otherwise && compileExpression(node.otherwise, at);
  const message = `the inline if-expression on line ${node.line} evaluated to false and no else section was defined.`;
  return (rt, frame) => {
    rt.step();
    if (truth(test(rt, frame))) return then(rt, frame);
    return otherwise ? otherwise(rt, frame) : new Undefined(message);
  };
}

function compileArguments(call: CallArguments, at: Surroundings): EvaluateArguments {
  const positional = call.positional.map((value) => compileExpression(value, at));
  const named = call.named.map(([name, value]) => [name, compileExpression(value, at)] as const);
  const rest = call.rest && compileExpression(call.rest, at);
  const namedRest = call.namedRest && compileExpression(call.namedRest, at);
  return (rt, frame, first) => {
    const values = [...first, ...positional.map((value) => value(rt, frame))];
    const names = new Map(named.map(([name, value]) => [name, value(rt, frame)]));
    if (rest) values.push(...listOf(rt, rest(rt, frame)));
    if (namedRest)
      for (const [name, value] of namesOf(namedRest(rt, frame))) addName(names, name, value);
    return { positional: values, named: names };
  };
}

function addName(names: Map<string, Value>, name: string, value: Value): void {
  if (names.has(name)) throw typeError(`got multiple values for keyword argument '${name}'`);
  names.set(name, value);
}

/** @param caller The body of a call block, which becomes the keyword argument caller. */
export function compileCall(
  node: CallExpression,
  at: Surroundings,
  caller?: (rt: Runtime, frame: Frame) => Value,
): Evaluate {
  const callee = compileExpression(node.callee, at);
  const args = compileArguments(node.call, at);
  const { line } = node;
  return (rt, frame) => {
    const target = callee(rt, frame);
    const { positional, named } = args(rt, frame, []);
    rt.line = line;
    if (!caller) return callValue(rt, target, { positional, named });
    const withCaller = new Map(named);
    addName(withCaller, 'caller', caller(rt, frame));
    return callValue(rt, target, { positional, named: withCaller });
  };
}

/** @param operand What is filtered: of the filters of a block, the innermost takes the body. */
export function compileFilter(
  node: FilterExpression,
  at: Surroundings,
  operand: Evaluate | null,
): Evaluate {
  if (!at.soft && !REGISTRY.hasFilter(node.name))
    throw new TemplateSyntaxFault(`No filter named '${node.name}'.`, node.line);
  const args = compileArguments(node.call, at);
  const { name, line } = node;
  return (rt, frame) => {
    const { positional, named } = args(rt, frame, [operand!(rt, frame)]);
    rt.line = line;
    return REGISTRY.filter(rt, name, { positional, named });
  };
}

/** The filters of a block, applied to its body. */
export function compileBlockFilter(
  node: FilterExpression,
  at: Surroundings,
  body: Evaluate,
): Evaluate {
  const { operand } = node;
  const inner = operand === null ? body : compileBlockFilter(operand as FilterExpression, at, body);
  return compileFilter(node, at, inner);
}

function compileTest(node: Extract<Expression, { kind: 'test' }>, at: Surroundings): Evaluate {
  if (!at.soft && !REGISTRY.hasTest(node.name))
    throw new TemplateSyntaxFault(`No test named '${node.name}'.`, node.line);
  const operand = compileExpression(node.operand, at);
  const args = compileArguments(node.call, at);
  const { name, line } = node;
  return (rt, frame) => {
    const { positional, named } = args(rt, frame, [operand(rt, frame)]);
    rt.line = line;
    return REGISTRY.test(rt, name, { positional, named });
  };
}
