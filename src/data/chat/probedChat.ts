import { LoraError } from '../../shared/errors';
import type { Tokenizer } from '../tokenizer/tokenizer';
import type { Chat, ChatVariables, Message, RenderedChat, Span } from './chat';

/** A noncharacter, which no text contains by chance and no template changes. */
export const PLACEHOLDER = '\uFDD2';

/**
 * A rendered chat that can be rendered again with a message changed: where the texts differ is what
 * the message contributes, whatever its template does with it.
 */
export class ProbedChat {
  readonly text: string;
  readonly generated: RenderedChat['generated'];
  readonly messages: readonly Message[];
  readonly variables: ChatVariables;
  private readonly prompts = new Map<string, string | null>();

  /** @throws LoraError('tokenizer') when the template refuses the messages. */
  constructor(
    chat: Chat,
    readonly tokenizer: Tokenizer,
  ) {
    this.messages = chat.messages;
    this.variables = chat.variables ?? {};
    ({ text: this.text, generated: this.generated } = tokenizer.renderChat(
      this.messages,
      false,
      this.variables,
    ));
  }

  /** The messages before a turn. Null: the template refuses them. */
  before(turn: number, add_generation_prompt: boolean): string | null {
    const key = `${turn} ${add_generation_prompt}`;
    const known = this.prompts.get(key);
    if (known !== undefined) return known;
    const prompt = this.render(this.messages.slice(0, turn), add_generation_prompt);
    this.prompts.set(key, prompt);
    return prompt;
  }

  /** The chat with another message in place of one. Null: the template refuses it. */
  replaced(index: number, message: Message): string | null {
    return this.render(this.messages.with(index, message), false);
  }

  /** The chat with all its messages changed. Null: the template refuses it. */
  mapped(change: (message: Message, index: number) => Message): string | null {
    return this.render(this.messages.map(change), false);
  }

  /** The chat with further keys in one of its messages. Null: the template refuses it. */
  withMessage(index: number, keys: Readonly<Record<string, unknown>>): ProbedChat | null {
    const messages = this.messages.with(index, { ...this.messages[index]!, ...keys });
    return this.otherChat({ messages, variables: this.variables });
  }

  /** The chat with further variables. Null: the template refuses it. */
  withVariables(variables: ChatVariables): ProbedChat | null {
    return this.otherChat({
      messages: this.messages,
      variables: { ...this.variables, ...variables },
    });
  }

  private otherChat(chat: Chat): ProbedChat | null {
    try {
      return new ProbedChat(chat, this.tokenizer);
    } catch (error) {
      if (error instanceof LoraError) return null;
      throw error;
    }
  }

  /** The chat without one of its variables. Null: the template refuses it. */
  without(variable: string): string | null {
    return this.render(this.messages, false, { ...this.variables, [variable]: null });
  }

  /** The range of this chat's text that differs from another. */
  difference(other: string): Span {
    const { text } = this;
    const start = commonPrefix(text, other);
    const most = Math.min(text.length, other.length) - start;
    let tail = 0;
    while (tail < most && text.at(-1 - tail) === other.at(-1 - tail)) tail++;
    return { start, end: text.length - tail };
  }

  private render(
    messages: readonly Message[],
    add_generation_prompt: boolean,
    variables = this.variables,
  ): string | null {
    try {
      return this.tokenizer.renderChat(messages, add_generation_prompt, variables).text;
    } catch (error) {
      if (error instanceof LoraError) return null;
      throw error;
    }
  }
}

/** The length of what two texts begin with. */
export function commonPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}
