import { createHash } from 'node:crypto';
import type { DuplicateRow } from '../../shared/checkedRecipe';
import { contentKey } from '../../shared/exactValues';
import type { Row } from '../rows/row';

/** The most rows that are listed; all are counted. */
const MOST_LISTED = 10_000;
const FIRST_CAPACITY = 1024;
/** Numbers of a slot: 64 bits of the hash, and the line (0: the slot is empty). */
const SLOT = 3;

/**
 * Finds rows with the same content as an earlier one by 64 bits of their SHA-256. Takes 20 to 40
 * bytes for each row. Among ten million rows, two different ones are taken for duplicates with a
 * probability of 3 in a million.
 */
export class DuplicateFinder {
  /** Each with the line of the first row of that content. */
  readonly listed: DuplicateRow[] = [];
  count = 0;
  private rows = 0;
  private slots = new Uint32Array(SLOT * FIRST_CAPACITY);

  /** Returns the hash of the row's content; null for images, which are ignored. */
  add(row: Row): Buffer | null {
    const known = this.find(row);
    if (!known) return null;
    const { line } = row;
    const { hash, first } = known;
    if (first !== line) {
      this.count++;
      if (this.listed.length < MOST_LISTED) this.listed.push({ line, first });
    }
    return hash;
  }

  /**
   * The hash of a row's content, and the line of the first row of that content, which may be its
   * own. Null for images.
   */
  find(row: Row): { readonly hash: Buffer; readonly first: number } | null {
    if (row.kind === 'image') return null;
    const { line } = row;
    const hash = createHash('sha256')
      .update(contentKey(contentOf(row)))
      .digest();
    return { hash, first: this.firstLine(hash.readUInt32LE(0), hash.readUInt32LE(4), line) };
  }

  /** The line of the first row with this hash, which is `line` if there is none. */
  private firstLine(low: number, high: number, line: number): number {
    if (4 * SLOT * this.rows >= 3 * this.slots.length) this.grow();
    const slot = slotFor(this.slots, low, high);
    const known = this.slots[slot + 2]!;
    if (known !== 0) return known;
    this.slots.set([low, high, line], slot);
    this.rows++;
    return line;
  }

  private grow(): void {
    const old = this.slots;
    this.slots = new Uint32Array(2 * old.length);
    for (let i = 0; i < old.length; i += SLOT) {
      if (old[i + 2] === 0) continue;
      const slot = slotFor(this.slots, old[i]!, old[i + 1]!);
      this.slots.set(old.subarray(i, i + SLOT), slot);
    }
  }
}

/** A row without its line, which its answers have too. */
function contentOf(row: Row): object {
  const content: Row = { ...row, line: 0 };
  switch (content.kind) {
    case 'preference':
      return {
        ...content,
        chosen: contentOf(content.chosen),
        rejected: contentOf(content.rejected),
      };
    case 'unpaired':
      return { ...content, answer: contentOf(content.answer) };
    default:
      return content;
  }
}

/** The slot of a hash, or the empty one where it belongs (linear probing). */
function slotFor(slots: Uint32Array, low: number, high: number): number {
  const capacity = slots.length / SLOT;
  let slot = SLOT * (low % capacity);
  while (slots[slot + 2] !== 0 && (slots[slot] !== low || slots[slot + 1] !== high))
    slot = (slot + SLOT) % slots.length;
  return slot;
}
