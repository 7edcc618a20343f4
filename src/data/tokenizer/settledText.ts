import type { Tokenizer } from './tokenizer';

/**
 * The end of a text that cleaning up may change once more follows: " n" becomes "n't"; " '" becomes
 * "'s", also where the " '" has just been made of "  ' "; and the "'" of " ' " is " '" again before
 * a full stop.
 */
const UNCLEANED = /[ '][ 'nvr]*$/;

/**
 * A text whose tokens become more, as far as further ones cannot change it: without a last
 * character of which bytes may be missing, and without spaces that cleaning up may remove.
 */
export function settledText({ cleans_up }: Pick<Tokenizer, 'cleans_up'>, text: string): string {
  const whole = text.replace(/\ufffd+$/, '');
  return cleans_up ? whole.replace(UNCLEANED, '') : whole;
}
