import { likeness, SIGNATURE_BYTES, writeSignature } from './minHash';

/** From this share of shingles in common, two texts count as near-duplicates. */
export const NEAR = 0.8;
/** Rows that are compared: a row's number and a band of its signature are sorted as one number. */
export const MOST_COMPARED = 2 ** 21;

/** Four bytes of a signature: texts are compared if all four agree in one of these. */
const BAND_BYTES = 4;
const BANDS = SIGNATURE_BYTES / BAND_BYTES;
/** Among rows that agree in a band, each is compared with so many earlier ones. */
const MOST_TRIED = 8;
const FIRST_CAPACITY = 1024;

/** A text and an earlier one that it resembles. */
export interface NearPair {
  readonly row: number;
  readonly like: number;
  /** From 0 to 1, estimated. */
  readonly likeness: number;
}

/**
 * Finds near-duplicates among texts by MinHash and locality-sensitive hashing with 16 bands of 4
 * bytes: a pair that has 80% of its shingles in common is compared with a probability of 99.98%.
 * Takes 80 bytes for each text.
 */
export class NearDuplicates {
  private signatures = new Uint8Array(FIRST_CAPACITY * SIGNATURE_BYTES);
  private images = new Uint32Array(FIRST_CAPACITY);
  private readonly empty = new Set<number>();
  private rows = 0;

  get length(): number {
    return this.rows;
  }

  /**
   * The next text.
   *
   * @param images The number of the images that belong to it: texts with others are not compared.
   * @throws RangeError beyond MOST_COMPARED
   */
  add(text: string, images = 0): void {
    if (this.rows === MOST_COMPARED) throw new RangeError('too many texts');
    const start = this.rows * SIGNATURE_BYTES;
    if (start === this.signatures.length) {
      const larger = new Uint8Array(2 * start);
      larger.set(this.signatures);
      this.signatures = larger;
      const more = new Uint32Array(2 * this.rows);
      more.set(this.images);
      this.images = more;
    }
    this.images[this.rows] = images;
    const into = this.signatures.subarray(start, start + SIGNATURE_BYTES);
    if (!writeSignature(text, into)) this.empty.add(this.rows);
    this.rows++;
  }

  /**
   * Passes near-duplicates to `onPair`; a pair may come several times.
   *
   * @param boundary Where given, texts from this one on are compared with those before it only.
   * @param onBand Called between bands with the share that is done; what it throws ends the search.
   */
  async search(
    onPair: (pair: NearPair) => void,
    onBand: (done: number) => Promise<void>,
    boundary: number | null = null,
  ): Promise<void> {
    for (let band = 0; band < BANDS; band++) {
      await onBand(band / BANDS);
      this.searchBand(band, onPair, boundary);
    }
  }

  private searchBand(band: number, onPair: (pair: NearPair) => void, boundary: number | null) {
    const sorted = this.sortedBy(band);
    const limit = boundary ?? Infinity;
    let tried: number[] = [];
    let last = -1;
    for (const each of sorted) {
      const key = Math.floor(each / MOST_COMPARED);
      const row = each % MOST_COMPARED;
      if (key !== last) tried = [];
      last = key;
      const isLater = boundary === null || row >= boundary;
      const like = isLater ? this.nearest(row, tried) : null;
      if (like) onPair(like);
      if (like === null && row < limit && tried.length < MOST_TRIED) tried.push(row);
    }
  }

  /** The first of some earlier texts that a text resembles. */
  private nearest(row: number, tried: readonly number[]): NearPair | null {
    for (const like of tried) {
      if (this.images[like] !== this.images[row]) continue;
      const share = likeness(this.signatures, like, row);
      if (share >= NEAR) return { row, like, likeness: share };
    }
    return null;
  }

  /** Band and row of all texts as one number each, in order. */
  private sortedBy(band: number): Float64Array {
    const view = new DataView(this.signatures.buffer);
    const keys = new Float64Array(this.rows - this.empty.size);
    let count = 0;
    for (let row = 0; row < this.rows; row++) {
      if (this.empty.has(row)) continue;
      const own = view.getUint32(row * SIGNATURE_BYTES + band * BAND_BYTES);
      // texts with other images are not among those that are tried
      const key = (own ^ this.images[row]!) >>> 0;
      keys[count++] = key * MOST_COMPARED + row;
    }
    return keys.sort();
  }
}
