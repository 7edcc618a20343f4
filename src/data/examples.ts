import type { Example } from './exampleTypes';

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
