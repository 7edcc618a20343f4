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
  /** How often in a row the template exceeded its budget. */
  let stopped = 0;
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
      if (stopped === STOPS) throw endlessError(file);
      const before = stopped;
      stopped = 0;
      const onError = ({ problem }: JinjaError) => {
        if (problem === 'budget') stopped = before + 1;
      };
      const { text, generated } = withFile(file, () => template.render(context), onError);
      return { text, generated: template.marksGenerations ? generated : null };
    },
  };
}

/** A template that is stopped so often in a row does not end; the rows that follow need no wait. */
const STOPS = 5;

/** Turns errors of the template into errors that name its file and line. */
function withFile<T>(file: string, run: () => T, onError?: (error: JinjaError) => void): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof JinjaError)) throw error;
    onError?.(error);
    throw new LoraError('tokenizer', messageOf(error, path.basename(file)), {
      place: placeOf(file, error),
      cause: error,
    });
  }
}

function endlessError(file: string): LoraError {
  return new LoraError(
    'tokenizer',
    `The chat template in ${path.basename(file)} was stopped ${STOPS} times and is not used again: it does not end.`,
    { place: { file } },
  );
}

function messageOf({ problem, message, line }: JinjaError, file: string): string {
  switch (problem) {
    case 'syntax':
      return `The chat template cannot be read: ${file}, line ${line}: ${message}`;
    case 'failure':
      return `The chat template fails: ${file}, line ${line}: ${message}`;
    case 'refusal':
      return `The chat template refuses these messages: ${message}`;
    case 'budget':
      return `The chat template is stopped: ${file}, line ${line}: ${message}.`;
  }
}

/** The line is one of the file where the file is the template alone. */
function placeOf(file: string, { line }: JinjaError): Place {
  return path.extname(file) === '.jinja' ? { file, line } : { file };
}
