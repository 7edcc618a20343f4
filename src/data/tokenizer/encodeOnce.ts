import type { Tokenizer } from './tokenizer';

export interface EncodedOnce {
  readonly ids: number[];
  /** Tokens that the text begins with already, and that the tokenizer would have added again. */
  readonly written: readonly number[];
}

/**
 * Token ids with the special tokens that the tokenizer adds at the start, once: a text that begins
 * with them already gets no others.
 */
export function encodeOnce(tokenizer: Tokenizer, text: string): EncodedOnce {
  const ids = tokenizer.encode(text);
  const { before } = tokenizer.frame;
  const isTwice =
    before.length > 0 && before.every((id, i) => ids[i] === id && ids[i + before.length] === id);
  return isTwice ? { ids: ids.slice(before.length), written: before } : { ids, written: [] };
}
