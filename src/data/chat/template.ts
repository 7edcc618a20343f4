import path from 'node:path';
import { LoraError, type Place } from '../../shared/errors';
import { JinjaError, parseJinja } from './jinja/template';
import { strftime } from './strftime';
import type { ChatVariables, Message, RenderedChat } from './chat';

export interface ChatTemplate {
  /**
   * @param variables Tools, documents and whatever else the template reads.
   * @throws LoraError('tokenizer') when the template refuses the messages, fails or takes too long.
   */
  render(
    messages: readonly Message[],
    add_generation_prompt: boolean,
    variables?: ChatVariables,
  ): RenderedChat;
}

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
  const template = withFile(file, () => parseJinja(source, (format) => strftime(now, format)));
  return {
    render: (messages, add_generation_prompt, variables = {}) => {
      const context = {
        tools: null,
        documents: null,
        ...tokens,
        ...variables,
        messages,
        add_generation_prompt,
      };
      const { text, generated } = withFile(file, () => template.render(context));
      return { text, generated: template.marksGenerations ? generated : null };
    },
  };
}

/** Turns errors of the template into errors that name its file and line. */
function withFile<T>(file: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof JinjaError)) throw error;
    throw new LoraError('tokenizer', messageOf(error), {
      place: placeOf(file, error),
      cause: error,
    });
  }
}

function messageOf({ problem, message, line }: JinjaError): string {
  switch (problem) {
    case 'syntax':
      return `The chat template cannot be read: line ${line}: ${message}`;
    case 'failure':
      return `The chat template fails: line ${line}: ${message}`;
    case 'refusal':
      return `The chat template refuses these messages: ${message}`;
    case 'budget':
      return `The chat template is stopped in line ${line}: ${message}.`;
  }
}

/** The line is one of the file where the file is the template alone. */
function placeOf(file: string, { line }: JinjaError): Place {
  return path.extname(file) === '.jinja' ? { file, line } : { file };
}
