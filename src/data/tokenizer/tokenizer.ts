import type { Message, RenderedChat } from '../chat/chat';

/** The special tokens that stand before a text, between two and behind the last. */
export interface SpecialTokenFrame {
  readonly before: readonly number[];
  readonly between: readonly number[];
  readonly after: readonly number[];
}

/**
 * Where an offset of a text lies among its tokens. The two differ where a token reaches over it.
 */
export interface TokenPlace {
  /** How many tokens the text before the offset gives on its own. */
  readonly before: number;
  /** How many tokens hold any of that text. */
  readonly reached: number;
}

export interface Tokenizer {
  /** One more than the largest id. */
  readonly vocab_size: number;
  readonly bos_token_id: number | null;
  readonly eos_token_id: number | null;
  readonly pad_token_id: number | null;
  readonly has_chat_template: boolean;
  /** The special tokens, which are recognised in any text, also in what a user writes. */
  readonly special_tokens: ReadonlyMap<string, number>;
  /**
   * Token ids, with the special tokens that the tokenizer itself adds unless `add_special_tokens`
   * is false. Rendered chats hold theirs already.
   */
  encode(text: string, add_special_tokens?: boolean): number[];
  /**
   * Ids (without added special tokens), and where each offset of the text (ascending, UTF-16) lies
   * among them.
   */
  encodeAt(
    text: string,
    offsets: readonly number[],
  ): { readonly ids: number[]; readonly places: readonly TokenPlace[] };
  /** What `encode` puts around a text; with `between` for two texts. */
  readonly frame: SpecialTokenFrame;
  decode(ids: readonly number[], skip_special_tokens?: boolean): string;
  /** Errors: LoraError when there is no template or the template refuses the messages. */
  applyChatTemplate(messages: readonly Message[], add_generation_prompt: boolean): string;
  /** The same, and what the template marks as generated. */
  renderChat(messages: readonly Message[], add_generation_prompt: boolean): RenderedChat;
}
