/** Sets of rows that belong together; each is known by its first row. */
export class Groups {
  private readonly parents: Int32Array;

  constructor(readonly length: number) {
    this.parents = Int32Array.from({ length }, (_, i) => i);
  }

  join(a: number, b: number): void {
    const [first, second] = [this.firstOf(a), this.firstOf(b)];
    this.parents[Math.max(first, second)] = Math.min(first, second);
  }

  /** The first row of the group that a row belongs to. */
  firstOf(row: number): number {
    let first = row;
    while (this.parents[first] !== first) {
      const next = this.parents[this.parents[first]!]!;
      this.parents[first] = next;
      first = next;
    }
    return first;
  }
}
