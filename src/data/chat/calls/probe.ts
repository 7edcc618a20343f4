import { LoraError } from '../../../shared/errors';
import type { Tokenizer } from '../../tokenizer/tokenizer';
import type { ChatVariables, Message } from '../chat';

/** A call that is rendered to see how a template writes calls. */
export interface ProbeCall {
  /** Nine letters and digits, as some templates demand. */
  readonly id: string;
  readonly name: string;
  readonly arguments: Readonly<Record<string, string>>;
}

export const QUESTION: Message = { role: 'user', content: 'Quxa?' };

export const [FIRST_CALL, SECOND_CALL]: readonly [ProbeCall, ProbeCall] = [
  { id: 'quxa1B2c3', name: 'quxa_name', arguments: { quxa_key: 'quxa x', quxb_key: 'quxb x' } },
  { id: 'quxd4E5f6', name: 'quxc_name', arguments: { quxc_key: 'quxc x', quxd_key: 'quxd x' } },
];

const TEXT = { type: 'string', description: 'Quxa.' };

/** The tools of the probes. */
const TOOLS = [FIRST_CALL, SECOND_CALL].map(({ name, arguments: values }) => ({
  type: 'function',
  function: {
    name,
    description: 'Quxa.',
    parameters: {
      type: 'object',
      properties: Object.fromEntries(Object.keys(values).map((key) => [key, TEXT])),
      required: Object.keys(values),
    },
  },
}));

/** How a message with calls is written in the data: templates demand one or the other. */
export interface CallStyle {
  /** Whether the arguments are a JSON text. */
  readonly asText: boolean;
  /** Whether there is an empty content. */
  readonly hasContent: boolean;
}

export const STYLES: readonly CallStyle[] = [
  { asText: false, hasContent: true },
  { asText: false, hasContent: false },
  { asText: true, hasContent: true },
  { asText: true, hasContent: false },
];

/** An answer that consists of calls. */
export const callMessage = (
  calls: readonly ProbeCall[],
  { asText, hasContent }: CallStyle,
): Message => ({
  role: 'assistant',
  ...(hasContent && { content: '' }),
  tool_calls: calls.map(({ id, name, arguments: values }) => ({
    id,
    type: 'function',
    function: { name, arguments: asText ? JSON.stringify(values) : values },
  })),
});

/** Renders a question with an answer. Null: the template refuses it. */
export type Prober = (answer: Message | null, add_generation_prompt?: boolean) => string | null;

/** Renders probes with a tokenizer's template, which is given tools of its own. */
export const proberOf =
  (tokenizer: Tokenizer, variables: ChatVariables): Prober =>
  (answer, add_generation_prompt = false) => {
    const messages = answer ? [QUESTION, answer] : [QUESTION];
    try {
      return tokenizer.applyChatTemplate(messages, add_generation_prompt, {
        ...variables,
        tools: TOOLS,
      });
    } catch (error) {
      if (error instanceof LoraError) return null;
      throw error;
    }
  };
