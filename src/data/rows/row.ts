import type { Message } from '../chat/chat';

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
