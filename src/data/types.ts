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

export interface Tokenizer {
  readonly vocab_size: number;
  readonly bos_token_id: number | null;
  readonly eos_token_id: number | null;
  readonly pad_token_id: number | null;
  readonly has_chat_template: boolean;
  /** Token ids, with the special tokens that the tokenizer itself adds when `add_special_tokens`. */
  encode(text: string, add_special_tokens?: boolean): number[];
  decode(ids: readonly number[], skip_special_tokens?: boolean): string;
  /** Errors: LoraError when there is no template or the template refuses the messages. */
  applyChatTemplate(messages: readonly Message[], add_generation_prompt: boolean): string;
}
