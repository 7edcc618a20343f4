import { TemplateFault } from './faults';
import { enter, Frame, type Context } from './frame';
import { undeclared } from './names';
import type { BlockStatement } from './nodes';
import type { Runtime } from './runtime';
import type { CompileBody } from './scope';
import { FunctionScope, Symbols } from './symbols';
import { Callable, TemplateObject, Undefined, type Value } from './values';

/** Writes a block: it sees the context, not the variables around it. */
export type RenderBlock = (rt: Runtime, context: Context) => void;

export type Blocks = Map<string, RenderBlock>;

export function compileBlock(
  node: BlockStatement,
  blocks: Blocks,
  compileBody: CompileBody,
): RenderBlock {
  const symbols = new Symbols(null, new FunctionScope(null));
  const used = undeclared(node.body, ['self', 'super']);
  const self = used.has('self') ? symbols.declareParameter('self') : null;
  const parent = used.has('super') ? symbols.declareParameter('super') : null;
  symbols.visitBody(node.body);
  const start = enter(symbols.loads, symbols.scope);
  const body = compileBody(node.body, { symbols, soft: false, top: false, inLoop: false });
  const noParent = new Undefined(`there is no parent block called '${node.name}'.`);
  return (rt, context) => {
    if (node.required)
      throw new TemplateFault('TemplateRuntimeError', `Required block '${node.name}' not found`);
    const frame = new Frame(context, null);
    if (self) frame.slots[self.slot] = new TemplateReference(blocks, context);
    if (parent) frame.slots[parent.slot] = noParent;
    start(frame);
    body(rt, frame);
  };
}

/** The variable `self`: its attributes are the blocks as functions. */
export class TemplateReference extends TemplateObject {
  readonly typeName = 'TemplateReference';

  constructor(
    private readonly blocks: Blocks,
    private readonly context: Context,
  ) {
    super();
  }

  override text(): string {
    return '<TemplateReference None>';
  }

  override attribute(name: string): Value | undefined {
    const block = this.blocks.get(name);
    if (!block) return undefined;
    return new Callable(name, (rt) =>
      rt.nested(() => rt.keep(rt.capture(() => block(rt, this.context)))),
    );
  }
}
