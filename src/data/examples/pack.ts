import type { Examples } from './examples';

/**
 * Packs sequences into rows of at most max_length tokens, the longest first, each into the fullest
 * row with enough space (best-fit decreasing). The result, indices of examples, is deterministic.
 */
export function pack(
  examples: Pick<Examples, 'length' | 'lengthAt'>,
  max_length: number,
): number[][] {
  const rows: number[][] = [];
  const rowsBySpace = new SpaceIndex(max_length);
  const longestFirst = Array.from({ length: examples.length }, (_, i) => i).sort(
    (a, b) => examples.lengthAt(b) - examples.lengthAt(a) || a - b,
  );
  for (const i of longestFirst) {
    const own = examples.lengthAt(i);
    const row = rowsBySpace.take(own) ?? { index: rows.push([]) - 1, space: max_length };
    rows[row.index]!.push(i);
    rowsBySpace.add({ index: row.index, space: row.space - own });
  }
  return rows;
}

interface Row {
  readonly index: number;
  /** Tokens that still fit. */
  readonly space: number;
}

/** Rows by the space that is left in them. */
class SpaceIndex {
  private readonly rows: number[][];

  constructor(max_length: number) {
    this.rows = Array.from({ length: max_length + 1 }, () => []);
  }

  /** Removes and returns the fullest row with enough space, if there is one. */
  take(length: number): Row | undefined {
    for (let space = length; space < this.rows.length; space++) {
      const index = this.rows[space]!.pop();
      if (index !== undefined) return { index, space };
    }
    return undefined;
  }

  add({ index, space }: Row): void {
    this.rows[space]!.push(index);
  }
}
