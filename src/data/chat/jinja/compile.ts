import { compileBlock, TemplateReference, type Blocks } from './blocks';
import { compileBlockFilter, compileCall, compileExpression } from './compileExpression';
import { compileFor } from './compileFor';
import { callableMacro, compileMacro } from './compileMacro';
import { compileTarget } from './compileTarget';
import { TemplateFault, TemplateSyntaxFault, typeError } from './faults';
import { enter, Frame, reader, type Context } from './frame';
import { blocksOf, namespacesOfTarget, undeclared } from './names';
import { namespaceOf } from './compileTarget';
import type {
  BlockStatement,
  Body,
  CallBlock,
  FilterBlock,
  GenerationBlock,
  IfStatement,
  MacroStatement,
  SetBlock,
  Statement,
  WithStatement,
} from './nodes';
import type { Runtime } from './runtime';
import { innerScope, type Execute, type Scope } from './scope';
import { FunctionScope, Symbols } from './symbols';
import { textOf } from './text';
import { stringOf, truth, typeName, Undefined, type Value } from './values';

/** Writes a template with these variables. */
export type Render = (rt: Runtime, context: Context) => void;

/**
 * Compiles a template to functions, as Jinja compiles it to Python: what a name means is settled
 * here, by the rules of Symbols.
 *
 * @throws TemplateSyntaxFault
 */
export function compileTemplate(body: Body): Render {
  return new Compiler().template(body);
}

class Compiler {
  private readonly blocks: Blocks = new Map();

  template(body: Body): Render {
    this.compileBlocks(body);
    const symbols = new Symbols(null, new FunctionScope(null));
    const self = undeclared(body, ['self']).has('self') ? symbols.declareParameter('self') : null;
    symbols.visitBody(body);
    const start = enter(symbols.loads, symbols.scope);
    const execute = this.body(body, { symbols, soft: false, top: true, inLoop: false });
    return (rt, context) => {
      const frame = new Frame(context, null);
      if (self) frame.slots[self.slot] = new TemplateReference(this.blocks, context);
      start(frame);
      execute(rt, frame);
    };
  }

  private compileBlocks(body: Body): void {
    for (const block of blocksOf(body)) {
      if (this.blocks.has(block.name))
        throw new TemplateSyntaxFault(`block '${block.name}' defined twice`, block.line);
      this.blocks.set(block.name, compileBlock(block, this.blocks, this.body));
    }
  }

  private readonly body = (body: Body, scope: Scope): Execute => {
    const statements = body.map((statement) => this.statement(statement, scope));
    return (rt, frame) => {
      for (const statement of statements) {
        const signal = statement(rt, frame);
        if (signal) return signal;
      }
      return undefined;
    };
  };

  private statement(node: Statement, scope: Scope): Execute {
    switch (node.kind) {
      case 'text':
        return action((rt) => rt.write(node.text));
      case 'output':
        return this.output(node, scope);
      case 'set':
        return this.set(node, scope);
      case 'setBlock':
        return this.setBlock(node, scope);
      case 'if':
        return this.if(node, scope);
      case 'for':
        return compileFor(node, scope, this.body);
      case 'break':
      case 'continue':
        if (!scope.inLoop) throw new TemplateSyntaxFault(`'${node.kind}' outside loop`, node.line);
        return () => node.kind;
      case 'block':
        return this.block(node, scope);
      case 'load':
        return action((rt) => {
          rt.line = node.line;
          throw new TemplateFault(
            'TypeError',
            `there are no other templates to load (${node.tag})`,
          );
        });
      case 'with':
        return this.with(node, scope);
      case 'autoescape':
        return this.autoescape(node, scope);
      default:
        return this.function(node, scope);
    }
  }

  /** Statements with a function of their own. */
  private function(
    node: MacroStatement | CallBlock | GenerationBlock | FilterBlock,
    scope: Scope,
  ): Execute {
    switch (node.kind) {
      case 'macro':
        return this.macro(node, scope);
      case 'callBlock':
        return this.callBlock(node, scope);
      case 'generation':
        return this.generation(node, scope);
      case 'filterBlock':
        return this.filterBlock(node, scope);
    }
  }

  private output(node: Extract<Statement, { kind: 'output' }>, scope: Scope): Execute {
    const value = compileExpression(node.value, scope);
    return action((rt, frame) => {
      const result = value(rt, frame);
      rt.line = node.line;
      rt.write(textOf(rt, result));
    });
  }

  private set(node: Extract<Statement, { kind: 'set' }>, scope: Scope): Execute {
    const value = compileExpression(node.value, scope);
    const assign = compileTarget(node.target, scope);
    const namespaces = namespacesOfTarget(node.target).map((name) =>
      reader(scope.symbols.find(name)!, scope.symbols.scope),
    );
    return action((rt, frame) => {
      rt.step();
      rt.line = node.line;
      for (const read of namespaces) namespaceOf(read(frame));
      const result = value(rt, frame);
      rt.line = node.line;
      assign(rt, frame, result);
    });
  }

  private setBlock(node: SetBlock, scope: Scope): Execute {
    const symbols = scope.symbols.inner();
    symbols.visitBody(node.body);
    const inner = innerScope(scope, symbols);
    const filter = node.filter;
    if (filter) symbols.read(filter);
    const start = enter(symbols.loads, symbols.scope);
    const body = this.body(node.body, inner);
    const assign = compileTarget(node.target, scope);
    let written = '';
    const change = filter && compileBlockFilter(filter, inner, () => written);
    return (rt, frame) => {
      start(frame);
      const captured = captureBody(rt, frame, body);
      if (captured.signal) return captured.signal;
      written = captured.text;
      const value = change ? change(rt, frame) : written;
      rt.line = node.line;
      assign(rt, frame, value);
      return undefined;
    };
  }

  private if(node: IfStatement, scope: Scope): Execute {
    const soft = { ...scope, soft: true };
    const branches = [node, ...node.elifs].map((branch) => ({
      test: compileExpression(branch.test, soft),
      body: this.body(branch.body, soft),
    }));
    const otherwise = this.body(node.otherwise, soft);
    return (rt, frame) => {
      rt.step();
      for (const { test, body } of branches) if (truth(test(rt, frame))) return body(rt, frame);
      return otherwise(rt, frame);
    };
  }

  private with(node: WithStatement, scope: Scope): Execute {
    const symbols = scope.symbols.inner();
    for (const target of node.targets) symbols.declareTarget(target);
    symbols.visitBody(node.body);
    const inner = innerScope(scope, symbols);
    const start = enter(symbols.loads, symbols.scope);
    const values = node.values.map((value) => compileExpression(value, scope));
    const targets = node.targets.map((target) => compileTarget(target, inner));
    const body = this.body(node.body, inner);
    return (rt, frame) => {
      start(frame);
      targets.forEach((assign, i) => assign(rt, frame, values[i]!(rt, frame)));
      return body(rt, frame);
    };
  }

  private autoescape(node: Extract<Statement, { kind: 'autoescape' }>, scope: Scope): Execute {
    const symbols = scope.symbols.inner();
    symbols.read(node.value);
    symbols.visitBody(node.body);
    const inner = innerScope(scope, symbols);
    const start = enter(symbols.loads, symbols.scope);
    const value = compileExpression(node.value, inner);
    const body = this.body(node.body, inner);
    return (rt, frame) => {
      start(frame);
      rt.line = node.line;
      if (truth(value(rt, frame))) throw typeError('autoescape is not supported');
      return body(rt, frame);
    };
  }

  private block(node: BlockStatement, { symbols }: Scope): Execute {
    const names = node.scoped ? symbols.storedNames() : [];
    const readers = names.map(
      (name) => [name, reader(symbols.find(name)!, symbols.scope)] as const,
    );
    return action((rt, frame) => {
      const variables = readers.flatMap(([name, read]): [string, Value][] => {
        const value = read(frame);
        return value === undefined ? [] : [[name, value]];
      });
      const context = node.scoped ? frame.context.derived(variables) : frame.context;
      rt.nested(() => this.blocks.get(node.name)!(rt, context));
    });
  }

  private macro(node: MacroStatement, scope: Scope): Execute {
    const macro = compileMacro(node, scope, this.body);
    const assign = compileTarget({ kind: 'name', name: node.name, line: node.line }, scope);
    return action((rt, frame) => {
      rt.step();
      assign(rt, frame, callableMacro(macro, frame));
    });
  }

  private callBlock(node: CallBlock, scope: Scope): Execute {
    const macro = compileMacro({ ...node, name: null }, scope, this.body);
    const call = compileCall(node.call, scope, (_, frame) => callableMacro(macro, frame));
    return action((rt, frame) => writeText(rt, call(rt, frame)));
  }

  private generation(node: GenerationBlock, scope: Scope): Execute {
    const macro = compileMacro({ ...node, name: null, parameters: [] }, scope, this.body);
    const args = {
      parameters: [],
      caller: new Undefined('No caller defined'),
      kwargs: new Map(),
      varargs: [],
    };
    return action((rt, frame) => {
      const { sink } = rt;
      const start = sink.length;
      const text = rt.nested(() => macro.run(rt, frame, args)).text();
      rt.write(text);
      sink.generated.push({ start, end: sink.length });
    });
  }

  private filterBlock(node: FilterBlock, scope: Scope): Execute {
    const symbols = scope.symbols.inner();
    symbols.visitBody(node.body);
    symbols.read(node.filter);
    const inner = innerScope(scope, symbols);
    const start = enter(symbols.loads, symbols.scope);
    const body = this.body(node.body, inner);
    let written = '';
    const change = compileBlockFilter(node.filter, inner, () => written);
    return (rt, frame) => {
      start(frame);
      const captured = captureBody(rt, frame, body);
      if (captured.signal) return captured.signal;
      written = captured.text;
      writeText(rt, change(rt, frame));
      return undefined;
    };
  }
}

function action(run: (rt: Runtime, frame: Frame) => void): Execute {
  return (rt, frame) => {
    run(rt, frame);
    return undefined;
  };
}

function captureBody(
  rt: Runtime,
  frame: Frame,
  body: Execute,
): { text: string; signal: ReturnType<Execute> } {
  let signal: ReturnType<Execute>;
  const sink = rt.capture(() => {
    signal = body(rt, frame);
  });
  return { text: rt.keep(sink), signal };
}

/** Call blocks and filter blocks write text only. */
function writeText(rt: Runtime, value: Value): void {
  const text = stringOf(value);
  if (text === undefined) throw typeError(`expected str instance, ${typeName(value)} found`);
  rt.write(text);
}
