export interface Message {
  readonly role: string;
  readonly content: string;
}

/** A class by its name or number; of regression a number. */
export type Label = string | number;

/**
 * A row of a dataset as its format says, with the line it stands on (from 1). Images have no lines:
 * they are counted.
 */
export type Row = TextRow | LabelledRow | TaggedRow | PairRow | ImageRow;

/** What a language model learns from. */
export type TextRow =
  | { readonly kind: 'messages'; readonly line: number; readonly messages: readonly Message[] }
  | {
      readonly kind: 'completion';
      readonly line: number;
      readonly prompt: string;
      readonly completion: string;
    }
  | { readonly kind: 'text'; readonly line: number; readonly text: string }
  | {
      readonly kind: 'tokenized';
      readonly line: number;
      readonly input_ids: readonly number[];
      readonly labels: readonly number[];
      readonly attention_mask: readonly number[];
    };

/** A text, or two that belong together, and what it is labelled with: a list where several hold. */
export interface LabelledRow {
  readonly kind: 'labelled';
  readonly line: number;
  readonly text: string;
  readonly text_pair: string | null;
  readonly label: Label | readonly Label[];
}

/** A sentence cut into words, with a tag for each. */
export interface TaggedRow {
  readonly kind: 'tagged';
  readonly line: number;
  readonly tokens: readonly string[];
  readonly tags: readonly Label[];
}

/** Two texts that mean the same, or a question and its answer. */
export interface PairRow {
  readonly kind: 'pair';
  readonly line: number;
  readonly anchor: string;
  readonly positive: string;
}

export interface ImageRow {
  readonly kind: 'image';
  readonly line: number;
  readonly file: string;
  readonly label: string;
}

/** What is learnt at once from a row. */
export type Example = TokensExample | PackedExample | TextExample | PairExample | ImageExample;

/**
 * A sequence with a label for each token, -100 where nothing is learnt. Of a language model
 * labels[t] is input_ids[t]: the loss at t compares the logits at t with labels[t + 1].
 */
export interface TokensExample {
  readonly kind: 'tokens';
  readonly line: number;
  readonly input_ids: Int32Array;
  readonly labels: Int32Array;
}

/** Short sequences in one row, none of which sees another. */
export interface PackedExample {
  readonly kind: 'packed';
  readonly parts: readonly TokensExample[];
}

/** What a whole row is labelled with: a class, or a number for each label. */
export type Target = Int32Array | Float32Array;

export interface TextExample {
  readonly kind: 'text';
  readonly line: number;
  readonly input_ids: Int32Array;
  /** 1 on the second of two texts. */
  readonly token_type_ids: Int32Array;
  readonly target: Target;
}

export interface PairExample {
  readonly kind: 'pair';
  readonly line: number;
  readonly anchor: Int32Array;
  readonly positive: Int32Array;
}

export interface ImageExample {
  readonly kind: 'image';
  readonly line: number;
  readonly file: string;
  readonly target: Int32Array;
}

/**
 * Sequences padded on the right to the longest; row-major [batch, length]. Padding has label -100
 * and mask 0.
 */
export interface Batch {
  readonly batch: number;
  readonly length: number;
  /** Empty for images. */
  readonly input_ids: Int32Array;
  /**
   * [batch, length], or [batch] or [batch, num_labels]; empty for pairs, of which all anchors come
   * first.
   */
  readonly labels: Int32Array | Float32Array;
  readonly attention_mask: Int32Array;
  readonly token_type_ids?: Int32Array;
  /** Of packed rows. */
  readonly position_ids?: Int32Array;
  readonly segment_ids?: Int32Array;
  /** [batch, channels, height, width] */
  readonly pixel_values?: Float32Array;
}

/** The special tokens that stand before a text, between two and behind the last. */
export interface Frame {
  readonly before: readonly number[];
  readonly between: readonly number[];
  readonly after: readonly number[];
}

/** A stretch of a text: UTF-16 offsets, the end left out. */
export interface Span {
  readonly start: number;
  readonly end: number;
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

export interface RenderedChat {
  readonly text: string;
  /**
   * What a template with {% generation %} blocks says the model itself writes; null: it has none.
   */
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
  readonly frame: Frame;
  decode(ids: readonly number[], skip_special_tokens?: boolean): string;
  /** Errors: LoraError when there is no template or the template refuses the messages. */
  applyChatTemplate(messages: readonly Message[], add_generation_prompt: boolean): string;
  /** The same, and what the template marks as generated. */
  renderChat(messages: readonly Message[], add_generation_prompt: boolean): RenderedChat;
}
