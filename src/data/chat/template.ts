import { Environment, Interpreter, Template } from '@huggingface/jinja';
import { LoraError } from '../../shared/errors';
import { strftime } from './strftime';
import type { ChatVariables, Message, RenderedChat, Span } from './chat';

export interface ChatTemplate {
  /**
   * @param variables Tools, documents and whatever else the template reads.
   * @throws LoraError('tokenizer') when the template refuses the messages or fails.
   */
  render(
    messages: readonly Message[],
    add_generation_prompt: boolean,
    variables?: ChatVariables,
  ): RenderedChat;
}

/** Noncharacters, which no text contains by chance. */
const START = '\uFDD0';
const END = '\uFDD1';

/**
 * Compiles a chat template (Jinja). Its variables are those of transformers: the messages,
 * add_generation_prompt, the given variables, the named special tokens, raise_exception, and
 * strftime_now, which always uses `now`, so that a resumed run renders the same text.
 *
 * @param tokens Special tokens by name: bos_token, eos_token, …
 * @param file Named in errors.
 * @throws LoraError('tokenizer') when the source is not a valid template.
 */
export function compileChatTemplate(
  source: string,
  tokens: Readonly<Record<string, string>>,
  file: string,
  now: Date,
): ChatTemplate {
  const markedSource = markGenerations(source);
  const { parsed } = compile(markedSource, file);
  return {
    render: (messages, add_generation_prompt, variables = {}) => {
      const env = new Environment();
      const context = {
        ...GLOBALS,
        strftime_now: (format: string) => strftime(now, format),
        ...tokens,
        ...variables,
        messages,
        add_generation_prompt,
      };
      for (const [name, value] of Object.entries(context)) env.set(name, value);
      const text = run(() => new Interpreter(env).run(parsed).value, file);
      return markedSource === source ? { text, generated: null } : takeMarks(text);
    },
  };
}

function compile(source: string, file: string): Template {
  try {
    return new Template(source);
  } catch (error) {
    throw new LoraError(
      'tokenizer',
      `The chat template cannot be read: ${LoraError.from(error, 'tokenizer').message}`,
      { place: { file }, cause: error },
    );
  }
}

function run(render: () => unknown, file: string): string {
  try {
    return String(render());
  } catch (error) {
    if (error instanceof LoraError) throw error;
    throw new LoraError(
      'tokenizer',
      `The chat template fails: ${LoraError.from(error, 'tokenizer').message}`,
      { place: { file }, cause: error },
    );
  }
}

const GLOBALS = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  tools: null,
  documents: null,
  range: (first: number, stop?: number, step = 1) => {
    const [from, to] = stop === undefined ? [0, first] : [first, stop];
    return Array.from(
      { length: Math.max(0, Math.ceil((to - from) / step)) },
      (_, i) => from + i * step,
    );
  },
  raise_exception: (message: string) => {
    throw new LoraError('tokenizer', `The chat template refuses these messages: ${message}`);
  },
};

/**
 * Puts marks at both ends of {% generation %} blocks, between two tags, so that white space around
 * the blocks is trimmed as before.
 */
function markGenerations(source: string): string {
  return source.replace(
    /\{%(-?)\s*(end)?generation\s*(-?)%\}/g,
    (_, left: string, end: string | undefined, right: string) =>
      `{%${left} if true %}${end ? END : START}{% endif ${right}%}`,
  );
}

function takeMarks(marked: string): RenderedChat {
  const generated: Span[] = [];
  let text = '';
  let start = 0;
  for (const piece of marked.split(/([\uFDD0\uFDD1])/)) {
    if (piece === START) start = text.length;
    else if (piece === END) generated.push({ start, end: text.length });
    else text += piece;
  }
  return { text, generated };
}
