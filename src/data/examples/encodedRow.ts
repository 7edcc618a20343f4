import type { Span } from '../chat/chat';
import type { ChatImages } from '../images/chatImages';
import type { PatchGrid } from '../images/patches';

/** An image whose vectors stand in place of some of a row's tokens. */
export interface TokensImage {
  /** The absolute path of the image. */
  readonly file: string;
  /** Its first token in the row. */
  readonly at: number;
  /** How many it has. */
  readonly tokens: number;
  /** Its patches. */
  readonly grid: PatchGrid;
}

export interface EncodedRow {
  readonly ids: readonly number[];
  /** Ranges of tokens that get labels. */
  readonly labelled: readonly Span[];
  /** Ranges of tokens that never get labels, even if all tokens do. */
  readonly unlearnt: readonly Span[];
  /** Warnings about the text, for the user. */
  readonly findings: readonly string[];
  /** In the order of their tokens. Not given: none. */
  readonly images?: readonly TokensImage[];
  /** Reads them. */
  readonly reader?: ChatImages;
}
