import { availableMemory } from '../common/system';
import { LoraError } from '../shared/errors';
import { countOf } from '../shared/values';
import type { Decoder } from './model';

/** A prompt with more tokens than the model or the memory has room for. */
export class PromptTooLong extends LoraError {
  constructor(length: number, reason: string) {
    super('usage', `The prompt has ${countOf(length, 'token')}, ${reason}.`, {
      fix: 'Shorten it.',
    });
  }
}

/**
 * Number of tokens that can follow a prompt of `length` tokens.
 *
 * @param known The first tokens of the prompt whose keys and values are there already.
 * @throws PromptTooLong
 */
export function tokensAfter(
  decoder: Pick<Decoder, 'remainingPositions' | 'bytesOf'>,
  length: number,
  { known = 0, available = availableMemory() } = {},
): number {
  const left = decoder.remainingPositions(length);
  // keys and values in bf16 take half: what does not fit then does not fit in any case
  const bytes = (decoder.bytesOf(length) - decoder.bytesOf(known)) / 2;
  if (bytes <= available) return left;
  const gigabytes = (own: number) => `${(own / 1e9).toFixed(1)} GB`;
  throw new PromptTooLong(
    length,
    `whose keys and values take ${gigabytes(bytes)} of memory, of which ${gigabytes(available)} are available`,
  );
}
