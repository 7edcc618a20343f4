import { namesOfTarget, namespacesOfTarget, visitExpression } from './names';
import type { Body, Expression, IfStatement, Statement, Target } from './nodes';

/** A function of the template at run time: the template itself, a macro, a recursive loop. */
export class FunctionScope {
  private readonly slots = new Map<string, number>();
  readonly depth: number;

  constructor(readonly parent: FunctionScope | null) {
    this.depth = parent ? parent.depth + 1 : 0;
  }

  slot(identity: string): number {
    const known = this.slots.get(identity);
    if (known !== undefined) return known;
    this.slots.set(identity, this.slots.size);
    return this.slots.size - 1;
  }
}

/** Where the value of a name is kept. */
export interface Reference {
  readonly scope: FunctionScope;
  readonly slot: number;
}

/** How a variable gets its value when its scope is entered. */
export type Load =
  | { readonly kind: 'parameter' }
  | { readonly kind: 'resolve'; readonly name: string }
  | { readonly kind: 'alias'; readonly of: Reference }
  | { readonly kind: 'undefined' };

/**
 * The variables of one scope of a template, by Jinja's rules: which of them are variables of its
 * own, which belong to a scope around it, and which come from the context. A name that is assigned
 * anywhere in a scope is a variable of that scope.
 */
export class Symbols {
  private readonly level: number;
  private refs = new Map<string, Reference>();
  private loadsBySlot = new Map<number, Load>();
  private stores = new Set<string>();

  constructor(
    private readonly parent: Symbols | null,
    readonly scope: FunctionScope,
    level?: number,
  ) {
    this.level = level ?? (parent ? parent.level + 1 : 0);
  }

  /** A scope inside this one, in the same function or in another. */
  inner(scope = this.scope): Symbols {
    return new Symbols(this, scope);
  }

  find(name: string): Reference | undefined {
    return this.refs.get(name) ?? this.parent?.find(name);
  }

  /** What to do when the scope is entered. */
  get loads(): readonly (readonly [slot: number, load: Load])[] {
    return [...this.loadsBySlot];
  }

  /** All names that are assigned here or in the scopes around. */
  storedNames(): string[] {
    return [...new Set([...this.stores, ...(this.parent?.storedNames() ?? [])])];
  }

  declareParameter(name: string): Reference {
    this.stores.add(name);
    return this.define(name, { kind: 'parameter' });
  }

  private define(name: string, load: Load): Reference {
    const ref = { scope: this.scope, slot: this.scope.slot(`${this.level} ${name}`) };
    this.refs.set(name, ref);
    this.loadsBySlot.set(ref.slot, load);
    return ref;
  }

  load(name: string): void {
    if (!this.find(name)) this.define(name, { kind: 'resolve', name });
  }

  private store(name: string): void {
    this.stores.add(name);
    if (this.refs.has(name)) return;
    const outer = this.parent?.find(name);
    this.define(name, outer ? { kind: 'alias', of: outer } : { kind: 'undefined' });
  }

  /** Takes up the names that an expression reads. */
  read(node: Expression | null): void {
    if (node) visitExpression(node, (name) => this.load(name));
  }

  /** Takes up what a statement that stands in this scope does to its names. */
  private visit(statement: Statement): void {
    switch (statement.kind) {
      case 'output':
        this.read(statement.value);
        break;
      case 'set':
        this.read(statement.value);
        this.assign(statement.target);
        break;
      case 'setBlock':
        this.assign(statement.target);
        break;
      case 'if':
        this.branches(statement);
        break;
      case 'for':
        this.read(statement.iterable);
        break;
      case 'macro':
        this.store(statement.name);
        break;
      case 'callBlock':
        this.read(statement.call);
        break;
      case 'filterBlock':
        this.read(statement.filter);
        break;
      case 'with':
        for (const value of statement.values) this.read(value);
        break;
      default:
        break;
    }
  }

  visitBody(body: Body): void {
    for (const statement of body) this.visit(statement);
  }

  private assign(target: Target): void {
    for (const name of namesOfTarget(target)) this.store(name);
    for (const name of namespacesOfTarget(target)) this.load(name);
  }

  declareTarget(target: Target): void {
    for (const name of namesOfTarget(target)) this.declareParameter(name);
  }

  /** A name that only some branches assign keeps what it had before in the others. */
  private branches({ test, body, elifs, otherwise }: IfStatement): void {
    this.read(test);
    const branches = [body, elifs, otherwise].map((branch) => {
      const copy = this.copy();
      copy.visitBody(branch);
      return copy;
    });
    const stored = new Set(branches.flatMap((branch) => [...branch.stores]));
    const added = [...stored].filter((name) => !this.stores.has(name));
    for (const branch of branches) {
      for (const [name, ref] of branch.refs) this.refs.set(name, ref);
      for (const [slot, load] of branch.loadsBySlot) this.loadsBySlot.set(slot, load);
      for (const name of branch.stores) this.stores.add(name);
    }
    for (const name of added) {
      const outer = this.parent?.find(name);
      const load: Load = outer ? { kind: 'alias', of: outer } : { kind: 'resolve', name };
      this.loadsBySlot.set(this.refs.get(name)!.slot, load);
    }
  }

  private copy(): Symbols {
    const copy = new Symbols(this.parent, this.scope, this.level);
    copy.refs = new Map(this.refs);
    copy.loadsBySlot = new Map(this.loadsBySlot);
    copy.stores = new Set(this.stores);
    return copy;
  }
}
