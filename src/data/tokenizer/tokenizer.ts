import type { ChatVariables, Message, RenderedChat } from '../chat/chat';

/**
 * The special tokens that a tokenizer adds before a text, between two texts, and after the last.
 */
export interface SpecialTokenFrame {
  readonly before: readonly number[];
  readonly between: readonly number[];
  readonly after: readonly number[];
}

/**
 * The position of a text offset among the tokens. The two differ where a token spans the offset.
 */
export interface TokenPlace {
  /** Number of tokens that end at or before the offset. */
  readonly before: number;
  /** Number of tokens that start before the offset. */
  readonly reached: number;
}

/** Text to token ids and back, and the chat template. */
export interface Tokenizer {
  /** The largest id, plus one. */
  readonly vocab_size: number;
  readonly bos_token_id: number | null;
  readonly eos_token_id: number | null;
  readonly pad_token_id: number | null;
  readonly has_chat_template: boolean;
  /** The source of the chat template. */
  readonly chat_template: string | null;
  /** Ids of the special tokens, which are recognized in any text, even in a user's message. */
  readonly special_tokens: ReadonlyMap<string, number>;
  /** Ids of all added tokens, special or not. */
  readonly added_tokens: ReadonlyMap<string, number>;
  /**
   * Token ids, with the special tokens that the tokenizer adds unless `add_special_tokens` is
   * false. Rendered chats already contain theirs.
   */
  encode(text: string, add_special_tokens?: boolean): number[];
  /** Ids without added special tokens, and the places of ascending UTF-16 offsets among them. */
  encodeAt(
    text: string,
    offsets: readonly number[],
  ): { readonly ids: number[]; readonly places: readonly TokenPlace[] };
  /** What `encode` adds around a text. */
  readonly frame: SpecialTokenFrame;
  decode(ids: readonly number[], skip_special_tokens?: boolean): string;
  /** Whether `decode` removes spaces before punctuation: a token may change earlier text. */
  readonly cleans_up: boolean;
  /**
   * @param variables Override those that the tokenizer was made with.
   * @throws LoraError('tokenizer') without a template, or when it refuses the messages.
   */
  applyChatTemplate(
    messages: readonly Message[],
    add_generation_prompt: boolean,
    variables?: ChatVariables,
  ): string;
  /** As `applyChatTemplate`, with the generation blocks of the template. */
  renderChat(
    messages: readonly Message[],
    add_generation_prompt: boolean,
    variables?: ChatVariables,
  ): RenderedChat;
}
