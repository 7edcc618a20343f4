/** Tokens that must have occurred before for what followed them to be a draft. */
const LEAST_MATCHED = 2;
/** Longer matches are no better: they are not counted further. */
const MOST_MATCHED = 16;

/** What may follow a text. */
export interface Draft {
  readonly ids: readonly number[];
  /** How many of the last tokens stood before these ids where they come from. */
  readonly matched: number;
}

/**
 * The tokens of a text, in which drafts are looked up (prompt lookup decoding, Saxena 2023): what
 * followed the last tokens where they occurred before.
 */
export class LookupText {
  private ids: Int32Array;
  private length = 0;

  constructor(ids: readonly number[]) {
    this.ids = new Int32Array(2 * ids.length + 64);
    for (const id of ids) this.push(id);
  }

  push(id: number): void {
    if (this.length === this.ids.length) {
      const longer = new Int32Array(2 * this.length);
      longer.set(this.ids);
      this.ids = longer;
    }
    this.ids[this.length++] = id;
  }

  /**
   * `count` tokens after the longest match, of equal ones after the last; null without a match.
   * Where a match reaches the end of the text, the text repeats itself, and the draft does as well.
   */
  draft(count: number): Draft | null {
    const { at, matched } = this.longestMatch();
    if (matched < LEAST_MATCHED || count < 1) return null;
    const period = this.length - at;
    const ids = Array.from({ length: count }, (_, i) => this.ids[at + (i % period)]!);
    return { ids, matched };
  }

  /** Where the text continues after the longest match with its end. */
  private longestMatch(): { readonly at: number; readonly matched: number } {
    const { ids, length } = this;
    let best = { at: length, matched: 0 };
    const last = ids[length - 1];
    for (let at = length - 1; at >= LEAST_MATCHED; at--) {
      if (ids[at - 1] !== last) continue;
      const matched = this.matchedBefore(at);
      if (matched > best.matched) best = { at, matched };
      if (matched === MOST_MATCHED) break;
    }
    return best;
  }

  /** How many tokens before `at` are those at the end of the text. */
  private matchedBefore(at: number): number {
    const { ids, length } = this;
    const most = Math.min(at, MOST_MATCHED);
    let matched = 0;
    while (matched < most && ids[at - 1 - matched] === ids[length - 1 - matched]) matched++;
    return matched;
  }
}
