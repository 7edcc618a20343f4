import type { Tokenizer } from './tokenizer';

/**
 * The end of a text that cleaning up may change once more follows: " n" becomes "n't"; " '" becomes
 * "'s", also where the " '" has just been made of "  ' "; and the "'" of " ' " is " '" again before
 * a full stop.
 */
const UNCLEANED = /[ '][ 'nvr]*$/;

/**
 * The part of a growing text that further tokens cannot change: without a last character of which
 * bytes may be missing, and without spaces that cleaning up may remove.
 */
export function settledText({ cleans_up }: Pick<Tokenizer, 'cleans_up'>, text: string): string {
  const whole = text.replace(/\ufffd+$/, '');
  return cleans_up ? whole.replace(UNCLEANED, '') : whole;
}
