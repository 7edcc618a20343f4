type NumberArray = Int32Array | Float64Array | Uint32Array;

const FIRST_CAPACITY = 1024;

/** A list of numbers that grows and takes as many bytes for each as its typed array does. */
export class NumberList<A extends NumberArray = Int32Array> {
  length = 0;
  private items: A;

  constructor(private readonly create: (capacity: number) => A) {
    this.items = create(FIRST_CAPACITY);
  }

  /** Whole numbers of 32 bits. */
  static ofInts(): NumberList<Int32Array<ArrayBuffer>> {
    return new NumberList((capacity) => new Int32Array(capacity));
  }

  /** Numbers up to 2^53, such as offsets in a file. */
  static ofOffsets(): NumberList<Float64Array<ArrayBuffer>> {
    return new NumberList((capacity) => new Float64Array(capacity));
  }

  push(value: number): void {
    if (this.length === this.items.length) {
      const larger = this.create(2 * this.length);
      larger.set(this.items);
      this.items = larger;
    }
    this.items[this.length++] = value;
  }

  /** `index` must be below `length`. */
  at(index: number): number {
    return this.items[index]!;
  }

  /** The numbers, without a copy; invalid after the next `push`. */
  view(): A {
    return this.items.subarray(0, this.length) as A;
  }
}
