import type { Span } from '../chat';
import { compileTemplate } from './compile';
import { BudgetExceeded, TemplateFault, TemplateRefusal, TemplateSyntaxFault } from './faults';
import { Context } from './frame';
import { fromJs } from './fromJs';
import { globalFunctions } from './globals';
import { hasGeneration } from './names';
import { parseTemplate } from './parser';
import { limitsFor, Runtime } from './runtime';
import type { Value } from './values';

/** The longest template: published ones have up to 30 thousand characters. */
const MAX_SOURCE = 250_000;

/** Why a template gives no text. */
export type JinjaProblem =
  /** It cannot be parsed. */
  | 'syntax'
  /** Python's Jinja would fail where it is rendered. */
  | 'failure'
  /** It says raise_exception; the message is its own. */
  | 'refusal'
  /** It takes more steps, text or depth than it may. */
  | 'budget';

export class JinjaError extends Error {
  override readonly name = 'JinjaError';

  constructor(
    readonly problem: JinjaProblem,
    message: string,
    /** In the template, from 1. */
    readonly line: number,
    cause?: unknown,
  ) {
    super(message, { cause });
  }
}

export interface Rendered {
  readonly text: string;
  /** What stands in {% generation %} blocks, in order. */
  readonly generated: readonly Span[];
}

export interface JinjaTemplate {
  /** True where it has {% generation %} blocks. */
  readonly marksGenerations: boolean;
  /** @throws JinjaError */
  render(variables: Readonly<Record<string, unknown>>): Rendered;
}

/**
 * A template of Jinja as transformers renders chat templates: in the immutable sandbox, with
 * trim_blocks and lstrip_blocks, break and continue, tojson, raise_exception and strftime_now. It
 * reaches nothing but the variables it is given, and every rendering has a budget.
 *
 * @param strftime The current time in this format.
 * @throws JinjaError
 */
export function parseJinja(source: string, strftime: (format: string) => string): JinjaTemplate {
  const { render, marksGenerations } = asJinjaError(
    () => 1,
    () => {
      if (source.length > MAX_SOURCE) throw new BudgetExceeded('it is too long');
      const body = parseTemplate(source);
      return { render: compileTemplate(body), marksGenerations: hasGeneration(body) };
    },
  );
  const functions = globalFunctions(strftime);
  return {
    marksGenerations,
    render: (variables) => {
      const { given, size } = asJinjaError(
        () => 1,
        () => convertedVariables(variables),
      );
      const rt = new Runtime(limitsFor(size));
      return asJinjaError(
        () => rt.line,
        () => {
          render(rt, new Context(new Map([...functions, ...given])));
          return takeResult(rt);
        },
      );
    },
  };
}

function convertedVariables(variables: Readonly<Record<string, unknown>>): {
  readonly given: ReadonlyMap<string, Value>;
  readonly size: number;
} {
  const given = new Map<string, Value>();
  let size = 0;
  for (const [name, value] of Object.entries(variables)) {
    const converted = fromJs(value);
    given.set(name, converted.value);
    size += converted.size;
  }
  return { given, size };
}

function takeResult(rt: Runtime): Rendered {
  if (rt.lostGeneration)
    throw new TemplateFault(
      'ValueError',
      'a generation block stands in a macro or a set block whose text is changed before it is written, so its place is not known',
    );
  return { text: rt.sink.text(), generated: merged(rt.sink.generated) };
}

/** In order, and without those that stand inside of others. */
function merged(spans: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (const span of spans.toSorted((a, b) => a.start - b.start || b.end - a.end)) {
    if (span.end > (result.at(-1)?.end ?? -1)) result.push(span);
  }
  return result;
}

function asJinjaError<T>(line: () => number, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw toJinjaError(error, line());
  }
}

function toJinjaError(error: unknown, line: number): unknown {
  if (error instanceof TemplateSyntaxFault)
    return new JinjaError('syntax', error.message, error.line, error);
  if (error instanceof TemplateRefusal)
    return new JinjaError('refusal', error.message, line, error);
  if (error instanceof BudgetExceeded) return new JinjaError('budget', error.message, line, error);
  if (error instanceof TemplateFault)
    return new JinjaError('failure', `${error.type}: ${error.message}`, line, error);
  // The stack of JavaScript is full: the template or its data nest too deeply
  if (error instanceof RangeError)
    return new JinjaError('budget', 'it nests too deeply', line, error);
  return error;
}
