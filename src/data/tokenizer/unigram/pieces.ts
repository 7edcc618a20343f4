/** The pieces of a text that begin at a place. */
export type Visit = (end: number, id: number) => void;

/**
 * The pieces of a vocabulary in the order of their UTF-16 units, so that all that begin with a text
 * are neighbours. It takes one number for each besides the texts, where a trie takes a map for each
 * of its nodes.
 */
export class SortedPieces {
  private readonly texts: readonly string[];
  private readonly ids: Int32Array;
  /** By the first unit of a text: where its pieces begin and end. */
  private readonly starts = new Map<number, readonly [number, number]>();

  /** Of equal pieces the last one counts. */
  constructor(pieces: readonly string[]) {
    const idOf = new Map(pieces.map((text, id) => [text, id] as const));
    idOf.delete('');
    const sorted = [...idOf].sort(([a], [b]) => (a < b ? -1 : 1));
    this.texts = sorted.map(([text]) => text);
    this.ids = Int32Array.from(sorted, ([, id]) => id);
    for (let from = 0; from < sorted.length;) {
      const unit = this.texts[from]!.charCodeAt(0);
      let to = from + 1;
      while (to < sorted.length && this.texts[to]!.charCodeAt(0) === unit) to++;
      this.starts.set(unit, [from, to]);
      from = to;
    }
  }

  /** Visits the pieces that the text has at a place, the shortest first. */
  at(text: string, start: number, visit: Visit): void {
    let range = this.starts.get(text.charCodeAt(start));
    for (let end = start + 1; range !== undefined; end++) {
      const [from, to] = range;
      const length = end - start;
      const isWhole = this.texts[from]!.length === length;
      if (isWhole) visit(end, this.ids[from]!);
      if (end === text.length) return;
      range = this.narrowed(isWhole ? from + 1 : from, to, length, text.charCodeAt(end));
    }
  }

  /** Of pieces with a common beginning, those with a unit after it. */
  private narrowed(
    from: number,
    to: number,
    at: number,
    unit: number,
  ): readonly [number, number] | undefined {
    const first = this.bound(from, to, at, unit);
    if (first === to || this.texts[first]!.charCodeAt(at) !== unit) return undefined;
    return [first, this.bound(first, to, at, unit + 1)];
  }

  /** The first whose unit at a place is no smaller. */
  private bound(from: number, to: number, at: number, unit: number): number {
    let [low, high] = [from, to];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.texts[middle]!.charCodeAt(at) < unit) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
