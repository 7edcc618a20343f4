import { NumberList } from '../../common/numberList';
import { excludedEntry } from '../../formats/excludedRows';

const FAULT = 1;
const EXCLUDED = 2;
const NO_HASH = 4;
/** What is not known yet. */
const UNKNOWN = -1;
/** Rows of a message that cannot be encoded: they are counted as read. */
export const NO_TOKENS = -2;
const NONE = 0;
/** A hash as numbers of 32 bits. */
const HASH_PARTS = [0, 1, 2, 3] as const;
const DIGITS = 8;

/** What is known of a row that was read. */
export interface FactsOfRow {
  readonly offset: number;
  readonly number: number;
  /** In characters. */
  readonly length: number;
  /** Null: the row cannot be known again. */
  readonly hash: string | null;
  readonly isFaulty: boolean;
  readonly isExcluded: boolean;
  /** The number of an earlier row with the same content; null: none. */
  readonly twin: number | null;
}

/** What is known of each row of a file, in order: 56 bytes a row. */
export class RowFacts {
  private readonly offsets = NumberList.ofOffsets();
  private readonly numbers = NumberList.ofInts();
  private readonly lengths = NumberList.ofInts();
  private readonly hashes = HASH_PARTS.map(() => NumberList.ofInts());
  private readonly flags = NumberList.ofInts();
  private readonly twins = NumberList.ofInts();
  private readonly tokens = NumberList.ofInts();
  private readonly likes = NumberList.ofInts();
  private excluded = 0;
  private faulty = 0;
  private twinned = 0;
  private likened: number | null = null;
  private counted = 0;

  get length(): number {
    return this.offsets.length;
  }

  get counts() {
    const { faulty, twinned, excluded, likened } = this;
    return { faults: faulty, twins: twinned, excluded, near: likened };
  }

  /** Whether the tokens of all rows are counted. */
  get hasTokens(): boolean {
    return this.counted === this.length && this.length > 0;
  }

  add({ offset, number, length, hash, isFaulty, isExcluded, twin }: FactsOfRow): void {
    this.offsets.push(offset);
    this.numbers.push(number);
    this.lengths.push(length);
    for (const part of HASH_PARTS) this.hashes[part]!.push(hashPart(hash, part));
    this.flags.push(
      (isFaulty ? FAULT : 0) | (isExcluded ? EXCLUDED : 0) | (hash === null ? NO_HASH : 0),
    );
    this.twins.push(twin ?? NONE);
    this.tokens.push(UNKNOWN);
    this.likes.push(NONE);
    if (isFaulty) this.faulty++;
    if (isExcluded) this.excluded++;
    if (twin !== null) this.twinned++;
  }

  offsetAt = (row: number): number => this.offsets.at(row);
  numberAt = (row: number): number => this.numbers.at(row);
  lengthAt = (row: number): number => this.lengths.at(row);
  isFaulty = (row: number): boolean => (this.flags.at(row) & FAULT) !== 0;
  isExcluded = (row: number): boolean => (this.flags.at(row) & EXCLUDED) !== 0;
  twinAt = (row: number): number | null => this.twins.at(row) || null;
  likeAt = (row: number): number | null => this.likes.at(row) || null;

  /** Null: not counted, or the row has none. */
  tokensAt(row: number): number | null {
    const count = this.tokens.at(row);
    return count < 0 ? null : count;
  }

  needsTokens = (row: number): boolean => this.tokens.at(row) === UNKNOWN;

  /** `count`: NO_TOKENS where the row cannot be encoded. */
  setTokens(row: number, count: number): void {
    if (this.needsTokens(row)) this.counted++;
    this.tokens.view()[row] = count;
  }

  /** Of another model. */
  forgetTokens(): void {
    this.tokens.view().fill(UNKNOWN);
    this.counted = 0;
  }

  setExcluded(row: number, isExcluded: boolean): void {
    if (this.isExcluded(row) === isExcluded) return;
    this.flags.view()[row]! ^= EXCLUDED;
    this.excluded += isExcluded ? 1 : -1;
  }

  /** @param likes Of each row, an earlier one that it resembles, or itself. */
  setLikes(likes: Int32Array): void {
    let count = 0;
    for (let row = 0; row < likes.length; row++) {
      const like = likes[row]!;
      const isLike = like !== row && this.twins.at(row) === NONE;
      this.likes.view()[row] = isLike ? this.numbers.at(like) : NONE;
      if (isLike) count++;
    }
    this.likened = count;
  }

  /** How the list of excluded rows calls rows; null for one that cannot be listed. */
  entriesOf(rows: readonly number[]): (string | null)[] {
    const wanted = new Map(rows.map((row, i) => [row, i]));
    const firsts = new Set(rows.map((row) => this.hashes[0]!.at(row)));
    const copies = new Map<string, number>();
    const entries = rows.map((): string | null => null);
    for (let row = 0; row < this.length; row++) {
      if (!firsts.has(this.hashes[0]!.at(row)) || (this.flags.at(row) & NO_HASH) !== 0) continue;
      const hash = this.hashAt(row);
      const copy = (copies.get(hash) ?? 0) + 1;
      copies.set(hash, copy);
      const at = wanted.get(row);
      if (at !== undefined) entries[at] = excludedEntry(hash, copy);
    }
    return entries;
  }

  /** Takes over what was counted for rows that are still the same. */
  takeTokens(before: RowFacts): void {
    const length = Math.min(this.length, before.length);
    for (let row = 0; row < length; row++)
      if (!before.needsTokens(row) && this.isSame(before, row))
        this.setTokens(row, before.tokens.at(row));
  }

  /** The rows after one begin so many bytes later. */
  shiftBehind(row: number, bytes: number): void {
    const offsets = this.offsets.view();
    for (let behind = row + 1; behind < offsets.length; behind++) offsets[behind]! += bytes;
  }

  private isSame = (other: RowFacts, row: number): boolean =>
    HASH_PARTS.every((part) => this.hashes[part]!.at(row) === other.hashes[part]!.at(row));

  private hashAt = (row: number): string =>
    HASH_PARTS.map((part) =>
      (this.hashes[part]!.at(row) >>> 0).toString(16).padStart(DIGITS, '0'),
    ).join('');
}

const hashPart = (hash: string | null, part: number): number =>
  hash === null ? 0 : parseInt(hash.slice(part * DIGITS, (part + 1) * DIGITS), 16);
