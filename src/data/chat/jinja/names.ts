import type {
  AccessExpression,
  Body,
  CallArguments,
  Expression,
  Parameter,
  Statement,
  Target,
} from './nodes';

type Visit = (name: string, use: 'load' | 'store') => void;

/** Visits the names that an expression reads. */
export function visitExpression(node: Expression, visit: Visit): void {
  for (const child of childrenOf(node)) visitExpression(child, visit);
  if (node.kind === 'name') visit(node.name, 'load');
}

function childrenOf(node: Expression): readonly Expression[] {
  switch (node.kind) {
    case 'constant':
    case 'name':
      return [];
    case 'tuple':
    case 'list':
      return node.items;
    case 'dict':
      return node.pairs.flat();
    case 'unary':
      return [node.operand];
    case 'binary':
    case 'logical':
      return [node.left, node.right];
    case 'concat':
      return node.parts;
    case 'compare':
      return [node.first, ...node.rest.map(([, operand]) => operand)];
    case 'conditional':
      return node.otherwise ? [node.test, node.then, node.otherwise] : [node.test, node.then];
    default:
      return partsOf(node);
  }
}

function partsOf(node: AccessExpression): readonly Expression[] {
  switch (node.kind) {
    case 'attribute':
      return [node.object];
    case 'item':
      return [node.object, node.index];
    case 'slice':
      return [node.object, ...node.bounds.filter((bound) => bound !== null)];
    case 'call':
      return [node.callee, ...argumentsOf(node.call)];
    case 'filter':
      return node.operand ? [node.operand, ...argumentsOf(node.call)] : argumentsOf(node.call);
    case 'test':
      return [node.operand, ...argumentsOf(node.call)];
  }
}

function argumentsOf({ positional, named, rest, namedRest }: CallArguments): Expression[] {
  const expanded = [rest, namedRest].filter((value) => value !== null);
  return [...positional, ...named.map(([, value]) => value), ...expanded];
}

/** The plain names that a target assigns to. */
export function namesOfTarget(target: Target): string[] {
  if (target.kind === 'tuple') return target.items.flatMap(namesOfTarget);
  return target.kind === 'name' ? [target.name] : [];
}

/** The namespaces that a target assigns to. */
export function namespacesOfTarget(target: Target): string[] {
  if (target.kind === 'tuple') return target.items.flatMap(namespacesOfTarget);
  return target.kind === 'namespace' ? [target.name] : [];
}

/** Those of these names that statements read before they assign to them, nested scopes included. */
export function undeclared(body: Body, names: readonly string[]): Set<string> {
  const open = new Set(names);
  const found = new Set<string>();
  visitBody(body, (name, use) => {
    if (use === 'store') open.delete(name);
    else if (open.has(name)) found.add(name);
  });
  return found;
}

/** Visits all names of these statements and of those inside them, blocks excepted. */
export function visitBody(body: Body, visit: Visit): void {
  for (const statement of body) visitStatement(statement, visit);
}

function visitStatement(statement: Statement, visit: Visit): void {
  const expression = (node: Expression | null) => node && visitExpression(node, visit);
  switch (statement.kind) {
    case 'output':
      visitExpression(statement.value, visit);
      break;
    case 'set':
      visitTarget(statement.target, visit);
      visitExpression(statement.value, visit);
      break;
    case 'setBlock':
      visitTarget(statement.target, visit);
      expression(statement.filter);
      visitBody(statement.body, visit);
      break;
    case 'if':
      expression(statement.test);
      for (const body of [statement.body, statement.elifs, statement.otherwise])
        visitBody(body, visit);
      break;
    case 'for':
      visitTarget(statement.target, visit);
      expression(statement.iterable);
      for (const body of [statement.body, statement.otherwise]) visitBody(body, visit);
      expression(statement.test);
      return;
    case 'macro':
      visitMacro(statement.parameters, statement.body, visit);
      break;
    case 'callBlock':
      visitExpression(statement.call, visit);
      visitMacro(statement.parameters, statement.body, visit);
      break;
    case 'generation':
      visitBody(statement.body, visit);
      break;
    case 'filterBlock':
      visitBody(statement.body, visit);
      visitExpression(statement.filter, visit);
      break;
    case 'with':
      for (const target of statement.targets) visitTarget(target, visit);
      statement.values.forEach(expression);
      visitBody(statement.body, visit);
      break;
    case 'autoescape':
      expression(statement.value);
      visitBody(statement.body, visit);
      break;
    default:
      break;
  }
}

function visitTarget(target: Target, visit: Visit): void {
  for (const name of namesOfTarget(target)) visit(name, 'store');
  for (const name of namespacesOfTarget(target)) visit(name, 'load');
}

function visitMacro(parameters: readonly Parameter[], body: Body, visit: Visit): void {
  for (const { name } of parameters) visit(name, 'store');
  for (const parameter of parameters)
    if (parameter.default) visitExpression(parameter.default, visit);
  visitBody(body, visit);
}

/** The line where one of these statements, or one inside them, assigns to this name. */
export function lineOfAssignment(body: Body, name: string): number | undefined {
  for (const statement of body) {
    const line =
      lineOfOwn(statement, name) ??
      nestedBodies(statement)
        .map((nested) => lineOfAssignment(nested, name))
        .find((found) => found !== undefined);
    if (line !== undefined) return line;
  }
  return undefined;
}

function lineOfOwn(statement: Statement, name: string): number | undefined {
  const targets =
    statement.kind === 'set' || statement.kind === 'setBlock' || statement.kind === 'for'
      ? namesOfTarget(statement.target)
      : [];
  return targets.includes(name) ? statement.line : undefined;
}

function nestedBodies(statement: Statement): readonly Body[] {
  const bodies = 'body' in statement ? [statement.body] : [];
  if (statement.kind === 'if') return [...bodies, statement.elifs, statement.otherwise];
  return statement.kind === 'for' ? [...bodies, statement.otherwise] : bodies;
}

/** True where a {% generation %} block is among these statements or inside them. */
export function hasGeneration(body: Body): boolean {
  return body.some(
    (statement) => statement.kind === 'generation' || nestedBodies(statement).some(hasGeneration),
  );
}

/** All blocks, outermost first. */
export function blocksOf(body: Body): Extract<Statement, { kind: 'block' }>[] {
  return body.flatMap((statement) => [
    ...(statement.kind === 'block' ? [statement] : []),
    ...nestedBodies(statement).flatMap(blocksOf),
  ]);
}
