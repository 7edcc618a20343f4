import type { Weighted } from '../rows/row';
import type { TokensImage } from './rowImages';

/** Examples that are tokens alone. */
export type TokenExample = Exclude<Example, ImageExample | CaptionedExample | FeaturesExample>;

/** A row in the form in which the model trains on it. */
export type Example =
  | TokensExample
  | AnswerExample
  | PackedExample
  | TextExample
  | PairExample
  | RankingExample
  | ImageExample
  | FeaturesExample
  | CaptionedExample
  | PreferenceExample
  | UnpairedExample;

/**
 * A sequence with a label for each token; -100 is ignored. In causal_lm labels[t] is input_ids[t]:
 * the loss at t compares the logits at t with labels[t + 1].
 */
export interface TokensExample extends Sequence {
  readonly kind: 'tokens';
  readonly line: number;
}

/**
 * What an encoder reads, and what its decoder learns to write: `input_ids` begin with the token
 * that every answer starts with, which has no label.
 */
export interface AnswerExample extends Sequence {
  readonly kind: 'answer';
  readonly line: number;
  readonly source: Int32Array;
}

/** Short sequences packed into one row. None attends to another. */
export interface PackedExample {
  readonly kind: 'packed';
  readonly parts: readonly TokensExample[];
}

/** The target of a whole row: a class index, or one number per label. */
export type Target = Int32Array | Float32Array;

export interface TextExample extends Weighted {
  readonly kind: 'text';
  readonly line: number;
  readonly input_ids: Int32Array;
  /** 1 for the second of two texts, else 0. */
  readonly token_type_ids: Int32Array;
  readonly target: Target;
}

export interface PairExample extends Weighted {
  readonly kind: 'pair';
  readonly line: number;
  readonly anchor: Int32Array;
  readonly positive: Int32Array;
  /** As many in all rows of a dataset. Missing: none. */
  readonly negatives?: readonly Int32Array[];
  /** In the precision of f32. All rows of a dataset have one, or none. */
  readonly score?: number;
}

/** A query with a document, as one text. */
export interface RatedText {
  readonly input_ids: Int32Array;
  /** 1 for the document, else 0. */
  readonly token_type_ids: Int32Array;
}

export interface RankingExample extends Weighted {
  readonly kind: 'ranking';
  readonly line: number;
  /** The same for rows with the same query. */
  readonly query: number;
  readonly texts: readonly RatedText[];
  /** Of each text, in the precision of f32. */
  readonly scores: Float32Array;
}

/** A prompt and an answer, whose tokens have labels. */
export interface Sequence extends Weighted {
  readonly input_ids: Int32Array;
  readonly labels: Int32Array;
  /** Those whose vectors stand in place of tokens. Missing: none. */
  readonly images?: readonly TokensImage[];
}

export interface PreferenceExample {
  readonly kind: 'preference';
  readonly line: number;
  readonly chosen: Sequence;
  readonly rejected: Sequence;
  readonly margin: number | null;
  /** See `PreferenceRow`. */
  readonly stated: readonly [chosen: number, rejected: number] | null;
}

export interface UnpairedExample {
  readonly kind: 'unpaired';
  readonly line: number;
  readonly answer: Sequence;
  /** What max_length cuts off the answer, as far as it fits after a shorter prompt. */
  readonly rest: Sequence;
  readonly desirable: boolean;
  /** See `UnpairedRow`. */
  readonly stated: number | null;
}

export interface ImageExample {
  readonly kind: 'image';
  readonly line: number;
  readonly file: string;
  readonly target: Target;
}

/** Numbers that a layers model reads. */
export interface FeaturesExample {
  readonly kind: 'features';
  readonly line: number;
  readonly values: Float32Array;
  readonly target: Target;
}

/** An image and the text that belongs to it. */
export interface CaptionedExample extends Weighted {
  readonly kind: 'captioned';
  readonly line: number;
  /** The absolute path of the image. */
  readonly file: string;
  readonly input_ids: Int32Array;
}

/** The texts of a pair: anchor, positive, negatives. */
export const textsOf = ({ anchor, positive, negatives = [] }: PairExample): Int32Array[] => [
  anchor,
  positive,
  ...negatives,
];

/** The images of an example's texts, in their order. */
export function imagesOfExample(example: Example): readonly TokensImage[] {
  if (example.kind === 'tokens') return example.images ?? [];
  if (example.kind === 'unpaired') return example.answer.images ?? [];
  if (example.kind !== 'preference') return [];
  return [...(example.chosen.images ?? []), ...(example.rejected.images ?? [])];
}

/** Length by which examples are padded and sorted; 1 for images and numbers, of one size each. */
export function lengthOf(example: Example): number {
  switch (example.kind) {
    case 'tokens':
    case 'text':
    case 'captioned':
      return example.input_ids.length;
    case 'answer':
      return example.source.length + example.input_ids.length;
    case 'packed':
      return example.parts.reduce((sum, part) => sum + part.input_ids.length, 0);
    case 'ranking':
      return Math.max(...example.texts.map(({ input_ids }) => input_ids.length));
    case 'pair':
      return Math.max(...textsOf(example).map(({ length }) => length));
    case 'preference':
      return Math.max(example.chosen.input_ids.length, example.rejected.input_ids.length);
    case 'unpaired':
      return example.answer.input_ids.length;
    case 'image':
    case 'features':
      return 1;
  }
}

/** Tokens that the model processes, without padding. */
export function tokensOf(example: Example, image_length: number): number {
  if (example.kind === 'pair') return textsOf(example).reduce((sum, { length }) => sum + length, 0);
  if (example.kind === 'ranking')
    return example.texts.reduce((sum, { input_ids }) => sum + input_ids.length, 0);
  if (example.kind === 'preference')
    return example.chosen.input_ids.length + example.rejected.input_ids.length;
  if (example.kind === 'captioned') return image_length + example.input_ids.length;
  return example.kind === 'image' ? image_length : lengthOf(example);
}

/** The lines of the dataset that an example comes from. */
export const linesOf = (example: Example): number[] =>
  example.kind === 'packed' ? example.parts.map((part) => part.line) : [example.line];
