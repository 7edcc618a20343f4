import { NO_LABEL } from '../../shared/task';
import type { Sequence, TokensExample } from './example';
import type { Tokenizer } from '../tokenizer/tokenizer';

/** Consecutive tokens that all have a label, or all have none. */
export interface LabelPiece {
  readonly text: string;
  readonly labelled: boolean;
  readonly tokens: number;
}

/**
 * An example as text, split into labelled and unlabelled pieces, which together are the whole text
 * including special tokens.
 */
export function labelPieces(example: Sequence | TokensExample, tokenizer: Tokenizer): LabelPiece[] {
  const { input_ids, labels } = withSinglePlaces(example);
  const counts = tokenCounts(example);
  const pieces: LabelPiece[] = [];
  for (let start = 0, end = 1; start < input_ids.length; end++) {
    const labelled = labels[start] !== NO_LABEL;
    if (end < input_ids.length && (labels[end] !== NO_LABEL) === labelled) continue;
    pieces.push({
      text: textBetween(input_ids, start, end, tokenizer),
      labelled,
      tokens: counts.slice(start, end).reduce((sum, count) => sum + count, 0),
    });
    start = end;
  }
  return pieces;
}

/** A sequence with one of each image's tokens. */
function withSinglePlaces({ input_ids, labels, images = [] }: Sequence): Sequence {
  if (images.length === 0) return { input_ids, labels };
  const isShown = (_: number, i: number) =>
    !images.some(({ at, tokens }) => i > at && i < at + tokens);
  return { input_ids: input_ids.filter(isShown), labels: labels.filter(isShown) };
}

/** How many tokens each one that is shown stands for: an image's stands for all of them. */
function tokenCounts({ input_ids: { length }, images = [] }: Sequence): readonly number[] {
  const counts: number[] = [];
  for (let i = 0; i < length;) {
    const image = images.find(({ at }) => at === i);
    const count = image ? Math.min(image.tokens, length - i) : 1;
    counts.push(count);
    i += count;
  }
  return counts;
}

/** Decoded together with the text before, because some tokenizers drop a leading space. */
function textBetween(ids: Int32Array, start: number, end: number, tokenizer: Tokenizer): string {
  const before = tokenizer.decode([...ids.subarray(0, start)]);
  const whole = tokenizer.decode([...ids.subarray(0, end)]);
  return whole.startsWith(before)
    ? whole.slice(before.length)
    : tokenizer.decode([...ids.subarray(start, end)]);
}
