export interface Message {
  readonly role: string;
  readonly content: string;
}

/** A stretch of a text: UTF-16 offsets, the end left out. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface RenderedChat {
  readonly text: string;
  /**
   * What a template with {% generation %} blocks says the model itself writes; null: it has none.
   */
  readonly generated: readonly Span[] | null;
}
