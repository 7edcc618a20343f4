/** A message of a chat. */
export interface Message {
  readonly role: string;
  readonly content: string;
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
