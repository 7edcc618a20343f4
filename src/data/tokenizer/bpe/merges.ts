import { randomInt } from 'node:crypto';

/** Numbers of a slot: left, right, what they become, and the rank. */
const SLOT = 4;
const EMPTY = -1;

/** Texts of a tokenizer's merges, as numbers from 0. */
export class Symbols {
  private readonly numbers = new Map<string, number>();
  private readonly texts: string[] = [];

  /** The number of a text, which is a new one at first. */
  of(text: string): number {
    const known = this.numbers.get(text);
    if (known !== undefined) return known;
    this.numbers.set(text, this.texts.length);
    return this.texts.push(text) - 1;
  }

  textOf(symbol: number): string {
    return this.texts[symbol]!;
  }
}

/**
 * The merges of a BPE model by their two symbols, in one typed array: a merge takes 24 to 48 bytes.
 * Both factors of the hash are drawn, so that no file can be made to collide.
 */
export class Merges {
  private readonly slots: Int32Array;
  private readonly shift: number;
  private readonly leftFactor = oddNumber();
  private readonly rightFactor = oddNumber();

  /** @param pairs In the order of their rank; of equal ones, the last counts. */
  constructor(pairs: readonly (readonly [string, string])[], symbols: Symbols) {
    const bits = Math.max(4, Math.ceil(Math.log2(1.5 * (pairs.length + 1))));
    this.shift = 32 - bits;
    this.slots = new Int32Array(SLOT * 2 ** bits).fill(EMPTY);
    let rank = 0;
    for (const pair of pairs) this.add(pair, rank++, symbols);
  }

  /** Makes no lists, of which a tokenizer would need hundreds of thousands. */
  private add(pair: readonly [string, string], rank: number, symbols: Symbols): void {
    const left = symbols.of(pair[0]);
    const right = symbols.of(pair[1]);
    const slot = this.slotOf(left, right);
    this.slots[slot] = left;
    this.slots[slot + 1] = right;
    this.slots[slot + 2] = symbols.of(pair[0] + pair[1]);
    this.slots[slot + 3] = rank;
  }

  /** The place of a merge; negative if the two are never merged. */
  find(left: number, right: number): number {
    const slot = this.slotOf(left, right);
    return this.slots[slot] === EMPTY ? EMPTY : slot;
  }

  /** What the symbols of a merge become. */
  mergedAt(place: number): number {
    return this.slots[place + 2]!;
  }

  rankAt(place: number): number {
    return this.slots[place + 3]!;
  }

  /** The slot of a pair, or the empty one where it belongs (linear probing). */
  private slotOf(left: number, right: number): number {
    const { slots } = this;
    const hash =
      (Math.imul(left, this.leftFactor) + Math.imul(right, this.rightFactor)) >>> this.shift;
    let slot = SLOT * hash;
    while (slots[slot] !== EMPTY && (slots[slot] !== left || slots[slot + 1] !== right)) {
      slot += SLOT;
      if (slot === slots.length) slot = 0;
    }
    return slot;
  }
}

const oddNumber = () => 2 * randomInt(2 ** 31) + 1;
