/**
 * A message of a chat, with all keys that a chat template may read. Keys whose value is null are
 * left out, as transformers does.
 */
export interface Message {
  readonly role: string;
  /** Absent in an answer that consists of tool calls. */
  readonly content?: string;
  /** What the model thinks before it answers, under any of the names that templates read. */
  readonly reasoning_content?: string;
  readonly thinking?: string;
  readonly tool_calls?: readonly unknown[];
  /** 0: an answer that stays in the text but is not learnt. */
  readonly weight?: 0;
  readonly [key: string]: unknown;
}

/**
 * What a chat template reads beside the messages: `tools`, `documents`, and the variables of
 * chat_template_kwargs.
 */
export type ChatVariables = Readonly<Record<string, unknown>>;

/** A conversation and what its template reads beside it. */
export interface Chat {
  readonly messages: readonly Message[];
  readonly variables?: ChatVariables;
}

/** A range of UTF-16 offsets in a text, or of tokens in a row; `end` is exclusive. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A chat as text. */
export interface RenderedChat {
  readonly text: string;
  /** The {% generation %} blocks: what the model itself writes. Null: the template has none. */
  readonly generated: readonly Span[] | null;
}

/** The text of a message, '' if it has none. */
export const contentOf = (message: Message): string => message.content ?? '';
