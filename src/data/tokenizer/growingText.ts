/** Tokens that are decoded again with further ones, at least. */
const LEAST_WINDOW = 32;

/**
 * The text of tokens, of which there are more and more: only the last ones are decoded again, so
 * that a long text takes no longer for each token. What a token adds is the difference between the
 * texts with and without it, from the same token on, because decoders treat the first token of a
 * text differently. Where a token changes the text before it, all are decoded.
 */
export class GrowingText {
  /** The text of the tokens before `settled`. */
  private before = '';
  private settled = 0;
  /** Where decoding begins, and the text from there to `settled`. */
  private start = 0;
  private overlap = '';

  /** @param decode The text of some tokens. */
  constructor(private readonly decode: (ids: readonly number[]) => string) {}

  /** The text of these tokens, which begin with those of the last call. */
  of(ids: readonly number[]): string {
    const own = this.decode(ids.slice(this.start));
    if (!own.startsWith(this.overlap)) {
      this.before = '';
      this.settled = 0;
      this.start = 0;
      this.overlap = '';
      return this.decode(ids);
    }
    const text = this.before + own.slice(this.overlap.length);
    // the bytes of the last character may still be missing
    if (ids.length - this.settled >= LEAST_WINDOW && !own.endsWith('\ufffd'))
      this.settle(ids, text);
    return text;
  }

  private settle(ids: readonly number[], text: string): void {
    this.start = this.settled;
    this.settled = ids.length;
    this.overlap = this.decode(ids.slice(this.start));
    this.before = text;
  }
}
