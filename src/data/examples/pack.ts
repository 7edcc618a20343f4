import type { PackedExample, TokensExample } from './example';

/**
 * Packs sequences into rows of at most max_length tokens, the longest first, each into the fullest
 * row with enough space (best-fit decreasing). The result is deterministic.
 */
export function pack(examples: readonly TokensExample[], max_length: number): PackedExample[] {
  const rows: TokensExample[][] = [];
  const rowsBySpace = new SpaceIndex(max_length);
  const longestFirst = [...examples.keys()].sort(
    (a, b) => examples[b]!.input_ids.length - examples[a]!.input_ids.length || a - b,
  );
  for (const i of longestFirst) {
    const example = examples[i]!;
    const row = rowsBySpace.take(example.input_ids.length) ?? {
      index: rows.push([]) - 1,
      space: max_length,
    };
    rows[row.index]!.push(example);
    rowsBySpace.add({ index: row.index, space: row.space - example.input_ids.length });
  }
  return rows.map((parts) => ({ kind: 'packed', parts }));
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
