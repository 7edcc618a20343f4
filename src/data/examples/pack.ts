import type { PackedExample, TokensExample } from './example';

/**
 * Puts sequences together into rows of at most max_length tokens: the longest first, each into the
 * fullest row that has room (best fit). Rows depend on the examples alone.
 */
export function pack(examples: readonly TokensExample[], max_length: number): PackedExample[] {
  const rows: TokensExample[][] = [];
  const withRoom = new RoomIndex(max_length);
  const longestFirst = [...examples.keys()].sort(
    (a, b) => examples[b]!.input_ids.length - examples[a]!.input_ids.length || a - b,
  );
  for (const i of longestFirst) {
    const example = examples[i]!;
    const row = withRoom.take(example.input_ids.length) ?? {
      index: rows.push([]) - 1,
      room: max_length,
    };
    rows[row.index]!.push(example);
    withRoom.give({ index: row.index, room: row.room - example.input_ids.length });
  }
  return rows.map((parts) => ({ kind: 'packed', parts }));
}

interface Row {
  readonly index: number;
  readonly room: number;
}

/** Rows by the room that is left in them. */
class RoomIndex {
  private readonly rows: number[][];

  constructor(max_length: number) {
    this.rows = Array.from({ length: max_length + 1 }, () => []);
  }

  /** The row with least room that is enough; none where no row has it. */
  take(length: number): Row | undefined {
    for (let room = length; room < this.rows.length; room++) {
      const index = this.rows[room]!.pop();
      if (index !== undefined) return { index, room };
    }
    return undefined;
  }

  give({ index, room }: Row): void {
    this.rows[room]!.push(index);
  }
}
