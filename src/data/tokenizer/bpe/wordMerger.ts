import type { Merges } from './merges';

/** Positions in a word are below it. */
const POSITIONS = 2 ** 30;
const GONE = -1;
/** Buffers above this size are not kept. */
const MOST_KEPT = 2 ** 18;

/**
 * Applies merges to a word: the one with the lowest rank first, of equal ones the leftmost. The
 * pairs wait in a heap as `rank * POSITIONS + position`; one that is no longer there is recognized
 * by its rank.
 */
export class WordMerger {
  private next = new Int32Array(64);
  private previous = new Int32Array(64);
  private heap = new Float64Array(192);
  private waiting = 0;

  constructor(private readonly merges: Merges) {}

  /**
   * Merges the first `length` symbols of `word` in place, and returns how many are left.
   */
  merge(word: Int32Array, length: number): number {
    if (length < 2) return length;
    this.reserve(length);
    const { next, previous } = this;
    this.waiting = 0;
    for (let i = 0; i < length; i++) {
      next[i] = i + 1;
      previous[i] = i - 1;
      if (i + 1 < length) this.offer(i, word[i]!, word[i + 1]!);
    }
    while (this.waiting > 0) this.mergeFirst(word, length);
    let left = 0;
    for (let i = 0; i < length; i = next[i]!) word[left++] = word[i]!;
    return left;
  }

  private mergeFirst(word: Int32Array, length: number): void {
    const { next, previous, merges } = this;
    const key = this.pop();
    const position = key % POSITIONS;
    const second = next[position]!;
    if (word[position] === GONE || second >= length) return;
    const place = merges.find(word[position]!, word[second]!);
    if (place < 0 || merges.rankAt(place) !== (key - position) / POSITIONS) return;
    word[position] = merges.mergedAt(place);
    word[second] = GONE;
    const after = next[second]!;
    next[position] = after;
    if (after < length) {
      previous[after] = position;
      this.offer(position, word[position], word[after]!);
    }
    const before = previous[position]!;
    if (before >= 0) this.offer(before, word[before]!, word[position]);
  }

  private offer(position: number, left: number, right: number): void {
    const place = this.merges.find(left, right);
    if (place >= 0) this.push(this.merges.rankAt(place) * POSITIONS + position);
  }

  private push(key: number): void {
    const { heap } = this;
    let child = this.waiting++;
    while (child > 0) {
      const parent = (child - 1) >> 1;
      if (heap[parent]! <= key) break;
      heap[child] = heap[parent]!;
      child = parent;
    }
    heap[child] = key;
  }

  private pop(): number {
    const { heap } = this;
    const first = heap[0]!;
    const last = heap[--this.waiting]!;
    let parent = 0;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= this.waiting) break;
      if (child + 1 < this.waiting && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= last) break;
      heap[parent] = heap[child]!;
      parent = child;
    }
    heap[parent] = last;
    return first;
  }

  /** A word of n symbols has n - 1 pairs, and each of its at most n - 1 merges makes two more. */
  private reserve(length: number): void {
    const isEnough = length <= this.next.length;
    if (isEnough && (this.next.length <= MOST_KEPT || length > MOST_KEPT)) return;
    const capacity = isEnough ? MOST_KEPT : Math.max(length, 2 * this.next.length);
    this.next = new Int32Array(capacity);
    this.previous = new Int32Array(capacity);
    this.heap = new Float64Array(3 * capacity);
  }
}
