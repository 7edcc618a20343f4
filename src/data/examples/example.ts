/** A row in the form in which the model trains on it. */
export type Example = TokensExample | PackedExample | TextExample | PairExample | ImageExample;

/**
 * A sequence with a label for each token; -100 is ignored. In causal_lm labels[t] is input_ids[t]:
 * the loss at t compares the logits at t with labels[t + 1].
 */
export interface TokensExample {
  readonly kind: 'tokens';
  readonly line: number;
  readonly input_ids: Int32Array;
  readonly labels: Int32Array;
}

/** Short sequences packed into one row. None attends to another. */
export interface PackedExample {
  readonly kind: 'packed';
  readonly parts: readonly TokensExample[];
}

/** The target of a whole row: a class index, or one number per label. */
export type Target = Int32Array | Float32Array;

export interface TextExample {
  readonly kind: 'text';
  readonly line: number;
  readonly input_ids: Int32Array;
  /** 1 for the second of two texts, else 0. */
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

/** Length by which examples are padded and sorted; 1 for images, which all have the same size. */
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

/** Tokens that the model processes, without padding. */
export function tokensOf(example: Example, image_length: number): number {
  if (example.kind === 'pair') return example.anchor.length + example.positive.length;
  return example.kind === 'image' ? image_length : lengthOf(example);
}

/** The lines of the dataset that an example comes from. */
export const linesOf = (example: Example): number[] =>
  example.kind === 'packed' ? example.parts.map((part) => part.line) : [example.line];
