import type { Message } from './chat';

/** The names under which datasets and templates keep reasoning, in the order of transformers. */
export const REASONING_KEYS = ['reasoning_content', 'thinking', 'reasoning'] as const;

/** The reasoning of a message, under whatever name. */
export function reasoningOf(message: Message): string | undefined {
  const value = REASONING_KEYS.map((key) => message[key]).find((text) => text !== undefined);
  return typeof value === 'string' ? value : undefined;
}

/**
 * Messages as their template gets them: without keys that are null, and with their reasoning as
 * both `reasoning_content` and `thinking`, because templates read either.
 */
export function withReasoning(messages: readonly Message[]): Message[] {
  return messages.map((message) => {
    const own = withoutNulls(message);
    const reasoning = reasoningOf(own);
    return reasoning === undefined
      ? own
      : { thinking: reasoning, ...own, reasoning_content: reasoning };
  });
}

function withoutNulls(message: Message): Message {
  return Object.fromEntries(
    Object.entries(message).filter(([, value]) => value !== null && value !== undefined),
  ) as Message;
}
