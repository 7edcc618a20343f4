import { equal } from './compare';
import { compileExpression } from './compileExpression';
import { compileTarget } from './compileTarget';
import { TemplateSyntaxFault } from './faults';
import { enter, type Frame } from './frame';
import { iterator } from './iterate';
import { blocksOf, lineOfAssignment, undeclared } from './names';
import type { Expression, ForStatement } from './nodes';
import { Loop, Once } from './objects';
import type { Runtime } from './runtime';
import { innerScope, type CompileBody, type Execute, type Scope, type Signal } from './scope';
import { FunctionScope } from './symbols';
import { truth, type Value } from './values';

type Items = (rt: Runtime, frame: Frame, iterable: Value) => Value;
type Pass = (rt: Runtime, frame: Frame, items: Value, depth: number) => Signal;

/**
 * A for loop. Its variables start anew in every pass. The part after else runs where no pass
 * reached its end, as in Jinja: also where the first one is left with break.
 */
export function compileFor(node: ForStatement, outer: Scope, compileBody: CompileBody): Execute {
  const assignment = lineOfAssignment([node], 'loop');
  if (assignment !== undefined)
    throw new TemplateSyntaxFault(
      "Can't assign to special loop variable in for-loop target",
      assignment,
    );
  const iterable = compileExpression(node.iterable, outer);
  const filtered = node.test ? compileFilteredItems(node, node.test, outer) : null;
  const { line } = node;
  const itemsOf = (rt: Runtime, frame: Frame, value: Value) =>
    filtered ? filtered(rt, frame, value) : value;
  if (node.recursive) return compileRecursive(node, outer, { compileBody, iterable, itemsOf });
  const run = compilePasses(node, outer, compileBody);
  return (rt, frame) => {
    const value = iterable(rt, frame);
    rt.line = line;
    return run(rt, frame, itemsOf(rt, frame, value), 0);
  };
}

/** The items that pass the test after `if`, found one after the other. */
function compileFilteredItems(node: ForStatement, test: Expression, outer: Scope): Items {
  const symbols = outer.symbols.inner(new FunctionScope(outer.symbols.scope));
  symbols.declareTarget(node.target);
  symbols.read(test);
  const scope = innerScope(outer, symbols);
  const start = enter(symbols.loads, symbols.scope);
  const assign = compileTarget(node.target, scope);
  const passes = compileExpression(test, scope);
  return (rt, frame, iterable) => {
    const own = frame.inner();
    start(own);
    const keep = (item: Value) => {
      assign(rt, own, item);
      return truth(passes(rt, own));
    };
    return new Once('generator', select(iterator(rt, iterable), keep));
  };
}

function* select(items: Iterable<Value>, keep: (item: Value) => boolean): Iterator<Value> {
  for (const item of items) if (keep(item)) yield item;
}

interface Parts {
  readonly compileBody: CompileBody;
  readonly iterable: (rt: Runtime, frame: Frame) => Value;
  readonly itemsOf: Items;
}

/** A recursive loop is a function that its variable `loop` calls. */
function compileRecursive(
  node: ForStatement,
  outer: Scope,
  { compileBody, iterable, itemsOf }: Parts,
): Execute {
  const recursion: Recursion = {
    scope: new FunctionScope(outer.symbols.scope),
    render: (rt, own, value, depth) => render(rt, own.outer(1), value, depth),
  };
  const run = compilePasses(node, outer, compileBody, recursion);
  const render = (rt: Runtime, frame: Frame, value: Value, depth: number): string => {
    const items = itemsOf(rt, frame, value);
    return rt.keep(rt.capture(() => run(rt, frame.inner(), items, depth)));
  };
  return (rt, frame) => {
    const value = iterable(rt, frame);
    rt.line = node.line;
    rt.write(render(rt, frame, value, 0));
    return undefined;
  };
}

interface Recursion {
  readonly scope: FunctionScope;
  readonly render: (rt: Runtime, own: Frame, value: Value, depth: number) => string;
}

function compilePasses(
  node: ForStatement,
  outer: Scope,
  compileBody: CompileBody,
  recursion?: Recursion,
): Pass {
  const symbols = outer.symbols.inner(recursion?.scope);
  const loopSlot = hasLoopVariable(node) ? symbols.declareParameter('loop').slot : undefined;
  symbols.declareTarget(node.target);
  symbols.visitBody(node.body);
  const scope = innerScope(outer, symbols, true);
  const assign = compileTarget(node.target, scope);
  const start = enter(symbols.loads, symbols.scope);
  const body = compileBody(node.body, scope);
  const otherwise = compileElse(node, outer, compileBody, recursion);
  return (rt, frame, items, depth) => {
    const loop = loopSlot === undefined ? null : newLoop(rt, frame, items, { depth, recursion });
    const passes = loop ?? iterator(rt, items);
    let completed = false;
    for (let next = passes.next(); next.done !== true; next = passes.next()) {
      rt.step();
      if (loop) frame.slots[loopSlot!] = loop;
      assign(rt, frame, next.value);
      start(frame);
      const signal = body(rt, frame);
      if (signal === 'break') break;
      if (signal === undefined) completed = true;
    }
    return completed ? undefined : otherwise(rt, frame);
  };
}

function hasLoopVariable({ recursive, body }: ForStatement): boolean {
  if (recursive || undeclared(body, ['loop']).has('loop')) return true;
  return blocksOf(body).some((block) => block.scoped);
}

function compileElse(
  node: ForStatement,
  outer: Scope,
  compileBody: CompileBody,
  recursion: Recursion | undefined,
): Execute {
  const symbols = outer.symbols.inner(recursion?.scope);
  symbols.visitBody(node.otherwise);
  const start = enter(symbols.loads, symbols.scope);
  const body = compileBody(node.otherwise, innerScope(outer, symbols, outer.inLoop && !recursion));
  return (rt, frame) => {
    start(frame);
    return body(rt, frame);
  };
}

function newLoop(
  rt: Runtime,
  frame: Frame,
  items: Value,
  { depth, recursion }: { readonly depth: number; readonly recursion: Recursion | undefined },
): Loop {
  const recurse =
    recursion && ((value: Value, below: number) => recursion.render(rt, frame, value, below));
  return new Loop(rt, items, {
    depth,
    recurse,
    same: (a, b) => a.length === b.length && a.every((value, i) => equal(rt, value, b[i]!)),
  });
}
