import type { Chat } from '../chat/chat';

/** A class by name or index, or a number of a regression. */
export type Label = string | number;

/**
 * A row of a dataset. `line` counts from 1; images, which have no lines, are numbered.
 */
export type Row = TextRow | LabelledRow | TaggedRow | PairRow | ImageRow;

/** A row of causal_lm. */
export type TextRow =
  | ChatRow
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

export interface ChatRow extends Chat {
  readonly kind: 'messages';
  readonly line: number;
}

/** A text, or two, with a label, or with a list of labels if several can apply. */
export interface LabelledRow {
  readonly kind: 'labelled';
  readonly line: number;
  readonly text: string;
  readonly text_pair: string | null;
  readonly label: Label | readonly Label[];
}

/** A sentence as words, with a tag for each. */
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

/** An image with its class. */
export interface ImageRow {
  readonly kind: 'image';
  readonly line: number;
  readonly file: string;
  readonly label: string;
}
