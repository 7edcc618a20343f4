import { compileExpression } from './compileExpression';
import { TemplateSyntaxFault } from './faults';
import { enter, type Frame } from './frame';
import { Macro, type MacroArguments, type MacroSignature } from './macro';
import { undeclared } from './names';
import type { Body, Parameter } from './nodes';
import type { Runtime, Sink } from './runtime';
import { innerScope, type CompileBody, type Scope } from './scope';
import { FunctionScope, type Reference } from './symbols';
import { Dict, Tuple, Undefined, type Value } from './values';

/** The definition of a macro, or the body of a call block. */
interface Definition {
  readonly name: string | null;
  readonly parameters: readonly Parameter[];
  readonly body: Body;
  readonly line: number;
}

export type RunMacro = (rt: Runtime, frame: Frame, args: MacroArguments) => Sink;

export interface CompiledMacro {
  readonly signature: MacroSignature;
  /** Runs the body in a frame inside the one that defines it; what it writes is returned. */
  readonly run: RunMacro;
}

export function compileMacro(
  { name, parameters, body, line }: Definition,
  outer: Scope,
  compileBody: CompileBody,
): CompiledMacro {
  const symbols = outer.symbols.inner(new FunctionScope(outer.symbols.scope));
  const scope = innerScope(outer, symbols, false);
  for (const parameter of parameters) symbols.declareParameter(parameter.name);
  for (const parameter of parameters) symbols.read(parameter.default);
  symbols.visitBody(body);
  const special = specialNames(parameters, body, line);
  const references = {
    caller: special.has('caller') ? symbols.declareParameter('caller') : null,
    kwargs: special.has('kwargs') ? symbols.declareParameter('kwargs') : null,
    varargs: special.has('varargs') ? symbols.declareParameter('varargs') : null,
  };
  const slots = parameters.map((parameter) => symbols.find(parameter.name)!.slot);
  const start = enter(symbols.loads, symbols.scope);
  const defaults = parameters.map((parameter) =>
    parameter.default
      ? compileExpression(parameter.default, scope)
      : missingParameter(parameter.name),
  );
  const execute = compileBody(body, scope);
  const run: RunMacro = (rt, frame, args) => {
    const own = frame.inner();
    slots.forEach((slot, i) => (own.slots[slot] = args.parameters[i]));
    setSpecial(own, references, args);
    start(own);
    slots.forEach((slot, i) => {
      if (own.slots[slot] === undefined) own.slots[slot] = defaults[i]!(rt, own);
    });
    return rt.capture(() => execute(rt, own));
  };
  const signature: MacroSignature = {
    name,
    parameters: parameters.map((parameter) => parameter.name),
    usesCaller: undeclared(body, ['caller']).has('caller'),
    usesKwargs: special.has('kwargs'),
    usesVarargs: special.has('varargs'),
  };
  return { signature, run };
}

/** The names that a macro has without declaring them, of those that its body uses. */
function specialNames(parameters: readonly Parameter[], body: Body, line: number): Set<string> {
  const used = undeclared(body, ['caller', 'kwargs', 'varargs']);
  const own = parameters.find((parameter) => parameter.name === 'caller');
  if (used.has('caller') && own && own.default === null)
    throw new TemplateSyntaxFault(
      'When defining macros or call blocks the special "caller" argument must be omitted or be given a default.',
      line,
    );
  for (const { name } of parameters) used.delete(name);
  return used;
}

function missingParameter(name: string): () => Value {
  return () => new Undefined(`parameter '${name}' was not provided`);
}

interface SpecialReferences {
  readonly caller: Reference | null;
  readonly kwargs: Reference | null;
  readonly varargs: Reference | null;
}

function setSpecial(
  frame: Frame,
  { caller, kwargs, varargs }: SpecialReferences,
  args: MacroArguments,
): void {
  if (caller) frame.slots[caller.slot] = args.caller;
  if (kwargs) frame.slots[kwargs.slot] = Dict.of(args.kwargs);
  if (varargs) frame.slots[varargs.slot] = new Tuple(args.varargs);
}

/** The macro as a value of the template. */
export function callableMacro({ signature, run }: CompiledMacro, frame: Frame): Macro {
  return new Macro(signature, (rt, args) => rt.keep(run(rt, frame, args)));
}
