import { roundedUp } from '../../shared/roundedSizes';
import type { Example, TokensExample } from './example';

/** The least share of a batch's positions that must be saved: attention by segments has a cost. */
const LEAST_SAVED = 0.25;

/**
 * The rows of a batch as one row without padding, in their order. None attends to another, and
 * each counts positions from 0, so that losses and gradients are those of the padded batch. As they
 * are if they are not those of a causal language model, if one has images, or if it would save too
 * little.
 */
export function sideBySide(examples: readonly Example[]): readonly Example[] {
  const parts = examples.filter(isText);
  if (parts.length < examples.length || parts.length < 2) return examples;
  const lengths = parts.map(({ input_ids }) => input_ids.length);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const padded = parts.length * roundedUp(Math.max(...lengths), Infinity);
  const isWorthIt = roundedUp(total, Infinity) <= (1 - LEAST_SAVED) * padded;
  return isWorthIt ? [{ kind: 'packed', parts }] : examples;
}

/** Images have places among the rows of a batch, and positions in a plane. */
const isText = (example: Example): example is TokensExample =>
  example.kind === 'tokens' && !example.images;
