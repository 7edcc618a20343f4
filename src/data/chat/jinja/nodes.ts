/** Expressions that look into others or call something. */
export type AccessExpression = Extract<
  Expression,
  { kind: 'attribute' | 'item' | 'slice' | 'call' | 'filter' | 'test' }
>;

/** Expressions and statements of a template; `line` counts from 1. */
export type Expression =
  | { readonly kind: 'constant'; readonly value: Constant; readonly line: number }
  | { readonly kind: 'name'; readonly name: string; readonly line: number }
  | {
      readonly kind: 'tuple' | 'list';
      readonly items: readonly Expression[];
      readonly line: number;
    }
  | {
      readonly kind: 'dict';
      readonly pairs: readonly (readonly [Expression, Expression])[];
      readonly line: number;
    }
  | {
      readonly kind: 'unary';
      readonly operator: UnaryOperator;
      readonly operand: Expression;
      readonly line: number;
    }
  | {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
      readonly line: number;
    }
  | {
      readonly kind: 'logical';
      readonly operator: 'and' | 'or';
      readonly left: Expression;
      readonly right: Expression;
      readonly line: number;
    }
  | { readonly kind: 'concat'; readonly parts: readonly Expression[]; readonly line: number }
  | {
      readonly kind: 'compare';
      readonly first: Expression;
      readonly rest: readonly (readonly [CompareOperator, Expression])[];
      readonly line: number;
    }
  | {
      readonly kind: 'conditional';
      readonly test: Expression;
      readonly then: Expression;
      readonly otherwise: Expression | null;
      readonly line: number;
    }
  | {
      readonly kind: 'attribute';
      readonly object: Expression;
      readonly name: string;
      readonly line: number;
    }
  | {
      readonly kind: 'item';
      readonly object: Expression;
      readonly index: Expression;
      readonly line: number;
    }
  | {
      readonly kind: 'slice';
      readonly object: Expression;
      readonly bounds: readonly (Expression | null)[];
      readonly line: number;
    }
  | CallExpression
  | FilterExpression
  | {
      readonly kind: 'test';
      readonly operand: Expression;
      readonly name: string;
      readonly call: CallArguments;
      readonly line: number;
    };

export type Constant =
  | { readonly type: 'none' }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'integer'; readonly value: bigint }
  | { readonly type: 'float'; readonly value: number };

export type UnaryOperator = 'not' | '-' | '+';
export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**';
export type CompareOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in';

export interface CallArguments {
  readonly positional: readonly Expression[];
  readonly named: readonly (readonly [string, Expression])[];
  readonly rest: Expression | null;
  readonly namedRest: Expression | null;
}

export interface CallExpression {
  readonly kind: 'call';
  readonly callee: Expression;
  readonly call: CallArguments;
  readonly line: number;
}

export interface FilterExpression {
  readonly kind: 'filter';
  /** Null: the body of the filter block or set block that this filter belongs to. */
  readonly operand: Expression | null;
  readonly name: string;
  readonly call: CallArguments;
  readonly line: number;
}

export type Target =
  | { readonly kind: 'name'; readonly name: string; readonly line: number }
  | { readonly kind: 'tuple'; readonly items: readonly Target[]; readonly line: number }
  | {
      readonly kind: 'namespace';
      readonly name: string;
      readonly attribute: string;
      readonly line: number;
    };

export interface Parameter {
  readonly name: string;
  readonly default: Expression | null;
}

export type Body = readonly Statement[];

export type Statement =
  | { readonly kind: 'text'; readonly text: string; readonly line: number }
  | { readonly kind: 'output'; readonly value: Expression; readonly line: number }
  | {
      readonly kind: 'set';
      readonly target: Target;
      readonly value: Expression;
      readonly line: number;
    }
  | SetBlock
  | IfStatement
  | ForStatement
  | MacroStatement
  | CallBlock
  | GenerationBlock
  | FilterBlock
  | WithStatement
  | BlockStatement
  | {
      readonly kind: 'autoescape';
      readonly value: Expression;
      readonly body: Body;
      readonly line: number;
    }
  | { readonly kind: 'break' | 'continue'; readonly line: number }
  | { readonly kind: 'load'; readonly tag: string; readonly line: number };

export interface SetBlock {
  readonly kind: 'setBlock';
  readonly target: Target;
  readonly filter: FilterExpression | null;
  readonly body: Body;
  readonly line: number;
}

export interface IfStatement {
  readonly kind: 'if';
  readonly test: Expression;
  readonly body: Body;
  readonly elifs: readonly IfStatement[];
  readonly otherwise: Body;
  readonly line: number;
}

export interface ForStatement {
  readonly kind: 'for';
  readonly target: Target;
  readonly iterable: Expression;
  readonly test: Expression | null;
  readonly recursive: boolean;
  readonly body: Body;
  readonly otherwise: Body;
  readonly line: number;
}

export interface MacroStatement {
  readonly kind: 'macro';
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly body: Body;
  readonly line: number;
}

export interface CallBlock {
  readonly kind: 'callBlock';
  readonly parameters: readonly Parameter[];
  readonly call: CallExpression;
  readonly body: Body;
  readonly line: number;
}

export interface GenerationBlock {
  readonly kind: 'generation';
  readonly body: Body;
  readonly line: number;
}

export interface FilterBlock {
  readonly kind: 'filterBlock';
  readonly filter: FilterExpression;
  readonly body: Body;
  readonly line: number;
}

export interface WithStatement {
  readonly kind: 'with';
  readonly targets: readonly Target[];
  readonly values: readonly Expression[];
  readonly body: Body;
  readonly line: number;
}

export interface BlockStatement {
  readonly kind: 'block';
  readonly name: string;
  readonly scoped: boolean;
  readonly required: boolean;
  readonly body: Body;
  readonly line: number;
}
