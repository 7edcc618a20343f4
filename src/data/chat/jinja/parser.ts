import { tokenize } from './lexer';
import type {
  Body,
  CallBlock,
  Expression,
  ForStatement,
  IfStatement,
  MacroStatement,
  Parameter,
  Statement,
  Target,
  WithStatement,
} from './nodes';
import { ExpressionParser } from './parseExpression';
import { TokenStream } from './tokenStream';

const RESERVED: readonly string[] = ['true', 'false', 'none', 'True', 'False', 'None'];
/** Tags that load other templates, of which there are none. */
const LOADING: readonly string[] = ['extends', 'include', 'import', 'from'];

/**
 * Parses a template by Jinja's grammar, with the tags break, continue and generation.
 *
 * @throws TemplateSyntaxFault
 */
export function parseTemplate(source: string): Body {
  return new Parser(new TokenStream(tokenize(source))).template();
}

class Parser {
  private readonly expressions: ExpressionParser;
  /** Blocks that are open, outermost first, for messages. */
  private readonly open: string[] = [];

  constructor(private readonly stream: TokenStream) {
    this.expressions = new ExpressionParser(stream);
  }

  template(): Body {
    return this.statements([]);
  }

  /** Statements up to one of these tags, or to the end of the template where there are none. */
  private statements(ends: readonly string[]): Statement[] {
    const { stream } = this;
    const body: Statement[] = [];
    for (;;) {
      const { type, value, line } = stream.current;
      if (type === 'eof') {
        if (ends.length > 0) this.failAtEnd(ends);
        return body;
      }
      stream.take();
      if (type === 'data') body.push({ kind: 'text', text: value, line });
      else if (type === 'variable_begin') {
        body.push({ kind: 'output', value: this.expressions.tuple(), line });
        stream.expect('variable_end');
      } else {
        if (stream.isName(...ends)) return body;
        body.push(...this.statement(ends));
        stream.expect('block_end');
      }
    }
  }

  /** The body of a tag up to one of these end tags, which becomes the current token. */
  private body(...ends: readonly string[]): Statement[] {
    this.stream.skip(':');
    this.stream.expect('block_end');
    return this.statements(ends);
  }

  /** As `body`, with the end tag consumed. */
  private wholeBody(end: string): Statement[] {
    const body = this.body(end);
    this.stream.take();
    return body;
  }

  private statement(ends: readonly string[]): Statement[] {
    const { stream } = this;
    if (!stream.is('name')) stream.fail('tag name expected');
    const { value: tag, line } = stream.take();
    const parse = Object.hasOwn(this.tags, tag) ? this.tags[tag] : undefined;
    if (!parse) this.failUnknown(tag, ends, line);
    this.open.push(tag);
    const statement = parse(line);
    this.open.pop();
    return Array.isArray(statement) ? statement : [statement];
  }

  private readonly tags: Readonly<Record<string, (line: number) => Statement | Statement[]>> = {
    set: (line) => this.set(line),
    if: (line) => this.if(line),
    for: (line) => this.for(line),
    macro: (line) => this.macro(line),
    call: (line) => this.callBlock(line),
    generation: (line) => ({ kind: 'generation', body: this.wholeBody('endgeneration'), line }),
    filter: (line) => {
      const filter = this.expressions.blockFilters(true)!;
      return { kind: 'filterBlock', filter, body: this.wholeBody('endfilter'), line };
    },
    with: (line) => this.with(line),
    block: (line) => this.block(line),
    autoescape: (line) => {
      const value = this.expressions.expression();
      return { kind: 'autoescape', value, body: this.wholeBody('endautoescape'), line };
    },
    print: (line) => this.print(line),
    break: (line) => ({ kind: 'break', line }),
    continue: (line) => ({ kind: 'continue', line }),
    ...Object.fromEntries(LOADING.map((tag) => [tag, (line: number) => this.load(tag, line)])),
  };

  private set(line: number): Statement {
    const target = this.target({ namespaces: true });
    if (this.stream.skip('='))
      return { kind: 'set', target, value: this.expressions.tuple(), line };
    const filter = this.expressions.blockFilters(false);
    return { kind: 'setBlock', target, filter, body: this.wholeBody('endset'), line };
  }

  private if(line: number): IfStatement {
    const { stream } = this;
    const test = this.expressions.tuple({ conditions: false });
    const body = this.body('elif', 'else', 'endif');
    const elifs: IfStatement[] = [];
    for (let tag = stream.take(); tag.value !== 'endif'; tag = stream.take()) {
      if (tag.value === 'else')
        return { kind: 'if', test, body, elifs, otherwise: this.wholeBody('endif'), line };
      const own = this.expressions.tuple({ conditions: false });
      const part = this.body('elif', 'else', 'endif');
      elifs.push({ kind: 'if', test: own, body: part, elifs: [], otherwise: [], line: tag.line });
    }
    return { kind: 'if', test, body, elifs, otherwise: [], line };
  }

  private for(line: number): ForStatement {
    const { stream, expressions } = this;
    const target = this.target({ endName: 'in' });
    stream.expectName('in');
    const iterable = expressions.tuple({ conditions: false, endName: 'recursive' });
    const test = stream.skipName('if') ? expressions.expression() : null;
    const recursive = stream.skipName('recursive');
    const body = this.body('endfor', 'else');
    const otherwise = stream.take().value === 'else' ? this.wholeBody('endfor') : [];
    return { kind: 'for', target, iterable, test, recursive, body, otherwise, line };
  }

  private macro(line: number): MacroStatement {
    const name = this.targetName();
    const parameters = this.parameters();
    return { kind: 'macro', name, parameters, body: this.wholeBody('endmacro'), line };
  }

  private callBlock(line: number): CallBlock {
    const parameters = this.stream.is('(') ? this.parameters() : [];
    const call = this.expressions.expression();
    if (call.kind !== 'call') this.stream.fail('expected call', line);
    return { kind: 'callBlock', parameters, call, body: this.wholeBody('endcall'), line };
  }

  private parameters(): Parameter[] {
    const { stream } = this;
    const parameters: Parameter[] = [];
    stream.expect('(');
    while (!stream.is(')')) {
      if (parameters.length > 0) stream.expect(',');
      const name = this.targetName();
      const value = stream.skip('=') ? this.expressions.expression() : null;
      if (value === null && parameters.at(-1)?.default)
        stream.fail('non-default argument follows default argument');
      parameters.push({ name, default: value });
    }
    stream.expect(')');
    return parameters;
  }

  private with(line: number): WithStatement {
    const targets: Target[] = [];
    const values: Expression[] = [];
    while (!this.stream.is('block_end')) {
      if (targets.length > 0) this.stream.expect(',');
      targets.push(this.target());
      this.stream.expect('=');
      values.push(this.expressions.expression());
    }
    return { kind: 'with', targets, values, body: this.wholeBody('endwith'), line };
  }

  private block(line: number): Statement {
    const { stream } = this;
    const name = stream.expect('name').value;
    const scoped = stream.skipName('scoped');
    const required = stream.skipName('required');
    const body = this.wholeBody('endblock');
    stream.skipName(name);
    return { kind: 'block', name, scoped, required, body, line };
  }

  private print(line: number): Statement[] {
    const values: Expression[] = [];
    while (!this.stream.is('block_end')) {
      if (values.length > 0) this.stream.expect(',');
      values.push(this.expressions.expression());
    }
    return values.map((value) => ({ kind: 'output', value, line }));
  }

  /** The rest of the tag is read, not kept: there is nothing to load from. */
  private load(tag: string, line: number): Statement {
    const { stream } = this;
    this.expressions.expression();
    while (!stream.is('block_end') && !stream.is('eof')) stream.take();
    return { kind: 'load', tag, line };
  }

  private targetName(): string {
    const { value, line } = this.stream.expect('name');
    if (RESERVED.includes(value)) this.stream.fail("can't assign to 'const'", line);
    return value;
  }

  private target(options: { namespaces?: boolean; endName?: string } = {}): Target {
    const { stream } = this;
    const { line } = stream.current;
    const items: Target[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) stream.expect(',');
      if (this.expressions.atTupleEnd(options.endName)) break;
      items.push(this.targetItem(options.namespaces ?? false));
      if (!stream.is(',')) break;
      isTuple = true;
    }
    if (isTuple) return { kind: 'tuple', items, line };
    return items[0] ?? stream.fail('Expected an expression');
  }

  private targetItem(namespaces: boolean): Target {
    const { stream } = this;
    const { line } = stream.current;
    if (stream.skip('(')) {
      const target = this.target({ namespaces: false });
      stream.expect(')');
      return target;
    }
    if (!stream.is('name')) {
      const { kind } = this.expressions.primary();
      stream.fail(`can't assign to '${kind === 'constant' ? 'const' : kind}'`, line);
    }
    const name = this.targetName();
    if (!namespaces || !stream.skip('.')) return { kind: 'name', name, line };
    return { kind: 'namespace', name, attribute: stream.expect('name').value, line };
  }

  private failUnknown(tag: string, ends: readonly string[], line: number): never {
    this.stream.fail(`Encountered unknown tag '${tag}'.${this.lookingFor(ends)}`, line);
  }

  private failAtEnd(ends: readonly string[]): never {
    this.stream.fail(`Unexpected end of template.${this.lookingFor(ends)}`);
  }

  private lookingFor(ends: readonly string[]): string {
    if (ends.length === 0) return '';
    const tags = ends.map((end) => `'${end}'`).join(' or ');
    return ` Jinja was looking for the following tags: ${tags}. The innermost block that needs to be closed is '${this.open.at(-1) ?? ''}'.`;
  }
}
