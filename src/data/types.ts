export interface Message {
  readonly role: string;
  readonly content: string;
}

/** A row of a dataset as its format says, with the line it stands on (from 1). */
export type Row =
  | { readonly kind: 'messages'; readonly line: number; readonly messages: readonly Message[] }
  | { readonly kind: 'completion'; readonly line: number; readonly prompt: string; readonly completion: string }
  | { readonly kind: 'text'; readonly line: number; readonly text: string }
  | { readonly kind: 'tokenized'; readonly line: number; readonly input_ids: readonly number[]; readonly labels: readonly number[]; readonly attention_mask: readonly number[] };

/** One training sequence. labels[t] is input_ids[t] or -100; the loss at t compares the logits at t with labels[t + 1]. */
export interface Example {
  readonly line: number;
  readonly input_ids: Int32Array;
  readonly labels: Int32Array;
}

/** Sequences padded on the right to the longest; row-major [batch, length]. Padding has label -100 and mask 0. */
export interface TokenBatch {
  readonly batch: number;
  readonly length: number;
  readonly input_ids: Int32Array;
  readonly labels: Int32Array;
  readonly attention_mask: Int32Array;
}

/** A stretch of a text: UTF-16 offsets, the end left out. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Where an offset of a text lies among its tokens. The two differ where a token reaches over it. */
export interface TokenPlace {
  /** How many tokens the text before the offset gives on its own. */
  readonly before: number;
  /** How many tokens hold any of that text. */
  readonly reached: number;
}

export interface RenderedChat {
  readonly text: string;
  /** What a template with {% generation %} blocks says the model itself writes; null: it has none. */
  readonly generated: readonly Span[] | null;
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
  /** Token ids, with the special tokens that the tokenizer itself adds unless `add_special_tokens` is false. Rendered chats hold theirs already. */
  encode(text: string, add_special_tokens?: boolean): number[];
  /** Ids (without added special tokens), and where each offset of the text (ascending, UTF-16) lies among them. */
  encodeAt(text: string, offsets: readonly number[]): { readonly ids: number[]; readonly places: readonly TokenPlace[] };
  decode(ids: readonly number[], skip_special_tokens?: boolean): string;
  /** Errors: LoraError when there is no template or the template refuses the messages. */
  applyChatTemplate(messages: readonly Message[], add_generation_prompt: boolean): string;
  /** The same, and what the template marks as generated. */
  renderChat(messages: readonly Message[], add_generation_prompt: boolean): RenderedChat;
}
