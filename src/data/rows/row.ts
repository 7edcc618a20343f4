import type { Chat } from '../chat/chat';

/** What a row's losses count: they are multiplied by it, and the sum is divided by all weights. */
export interface Weighted {
  /** Above 0, in the precision of f32. Missing: 1. */
  readonly weight?: number;
}

/** A class by name or index, or a number of a regression. */
export type Label = string | number;

/**
 * A row of a dataset. `line` counts from 1; images, which have no lines, are numbered.
 */
export type Row =
  | TextRow
  | ((
      | LabelledRow
      | TaggedRow
      | PairRow
      | RankingRow
      | ImageRow
      | CaptionedRow
      | PreferenceRow
      | UnpairedRow
    ) &
      Weighted);

/** A row of causal_lm. */
export type TextRow = Weighted &
  (
    | ChatRow
    | {
        readonly kind: 'completion';
        readonly line: number;
        readonly prompt: string;
        readonly completion: string;
        /** The prompt is no message of its own: it gets no chat template. */
        readonly plain?: true;
      }
    | { readonly kind: 'text'; readonly line: number; readonly text: string }
    | {
        readonly kind: 'tokenized';
        readonly line: number;
        readonly input_ids: readonly number[];
        readonly labels: readonly number[];
        readonly attention_mask: readonly number[];
      }
  );

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
  /** Texts that do not belong to the anchor, though they look like it. Missing: none. */
  readonly negatives?: readonly string[];
  /** How similar the two are. Missing: not known. */
  readonly score?: number;
}

/** A query with documents, and how well each of them fits it. */
export interface RankingRow {
  readonly kind: 'ranking';
  readonly line: number;
  readonly query: string;
  readonly documents: readonly string[];
  /** In the precision of f32. */
  readonly scores: readonly number[];
  /** Whether the row has a list of documents, at least two; else it has one document. */
  readonly isList: boolean;
}

/** A prompt with two answers, of which one is better. */
export interface PreferenceRow {
  readonly kind: 'preference';
  readonly line: number;
  /** The prompt with each answer; the prompt has no labels. */
  readonly chosen: TextRow;
  readonly rejected: TextRow;
  /** By how much the reward of the chosen answer should exceed the other. */
  readonly margin: number | null;
  /** Log-probabilities of the answers that another program computed for the reference. */
  readonly stated: readonly [chosen: number, rejected: number] | null;
}

/** A prompt with an answer that is good or not. */
export interface UnpairedRow {
  readonly kind: 'unpaired';
  readonly line: number;
  readonly answer: TextRow;
  readonly desirable: boolean;
  /** The log-probability of the answer that another program computed for the reference. */
  readonly stated: number | null;
}

/** An image with its class. */
export interface ImageRow {
  readonly kind: 'image';
  readonly line: number;
  readonly file: string;
  readonly label: Label;
}

/** An image with the text that belongs to it. */
export interface CaptionedRow {
  readonly kind: 'captioned';
  readonly line: number;
  /** Relative to the folder of the dataset's file, or absolute. */
  readonly image: string;
  readonly text: string;
}

/** Sequences that the model reads for a row. */
export function sequencesIn(row: Row): number {
  switch (row.kind) {
    case 'pair':
      return 2 + (row.negatives?.length ?? 0);
    case 'ranking':
      return row.documents.length;
    case 'preference':
      return 2;
    default:
      return 1;
  }
}
