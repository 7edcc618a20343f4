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

/** Tokens of the row that a batch is padded to. Images are all of one size. */
export function lengthOf(example: Example): number {
  switch (example.kind) {
    case 'tokens':
    case 'text':
      return example.input_ids.length;
    case 'packed':
      return example.parts.reduce((sum, part) => sum + part.input_ids.length, 0);
    case 'pair':
      return Math.max(example.anchor.length, example.positive.length);
    case 'image':
      return 1;
  }
}

/** Tokens that the model reads. */
export function tokensOf(example: Example, image_length: number): number {
  if (example.kind === 'pair') return example.anchor.length + example.positive.length;
  return example.kind === 'image' ? image_length : lengthOf(example);
}

/** The lines of a dataset that an example stands on. */
export const linesOf = (example: Example): number[] =>
  example.kind === 'packed' ? example.parts.map((part) => part.line) : [example.line];
