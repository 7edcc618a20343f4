/** A part of a message that has an image; other messages are text. */
export type ContentPart =
  | { readonly type: 'text'; readonly text: string }
  /** `image`: a file, relative to the folder of the dataset's file or absolute. */
  | { readonly type: 'image'; readonly image: string };

/**
 * A message of a chat, with all keys that a chat template may read. Keys whose value is null are
 * left out, as transformers does.
 */
export interface Message {
  readonly role: string;
  /** Absent in an answer that consists of tool calls; parts if one of them is an image. */
  readonly content?: string | readonly ContentPart[];
  /** The reasoning of an answer, under any of the names that templates read. */
  readonly reasoning_content?: string;
  readonly thinking?: string;
  readonly tool_calls?: readonly unknown[];
  /** 0: an answer that stays in the text but is not learned. */
  readonly weight?: 0;
  readonly [key: string]: unknown;
}

/**
 * The inputs of a chat template besides the messages: `tools`, `documents`, and the variables of
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

/** An answer in the text of its chat. */
export interface AnswerSpan extends Span {
  /** The index of its message. */
  readonly turn: number;
  /** Where the answer itself ends, before its end token. */
  readonly body_end: number;
}

/** A chat as text. */
export interface RenderedChat {
  readonly text: string;
  /** The {% generation %} blocks: what the model itself writes. Null: the template has none. */
  readonly generated: readonly Span[] | null;
}

/** A question with its answer, as messages. */
export const exchange = (question: string, answer: string): Message[] => [
  { role: 'user', content: question },
  { role: 'assistant', content: answer },
];

/** The text of a message, '' if it has none. */
export const contentOf = ({ content = '' }: Pick<Message, 'content'>): string =>
  typeof content === 'string'
    ? content
    : content.map((part) => (part.type === 'text' ? part.text : '')).join('');

/** The files of the images of messages, in their order. */
export const imagesOf = (messages: readonly Message[]): string[] =>
  messages.flatMap(({ content = '' }) =>
    typeof content === 'string'
      ? []
      : content.flatMap((part) => (part.type === 'image' ? [part.image] : [])),
  );

/** The parts of a message. */
export const contentParts = ({
  content = '',
}: Pick<Message, 'content'>): readonly ContentPart[] => {
  if (typeof content !== 'string') return content;
  return content === '' ? [] : [{ type: 'text', text: content }];
};
