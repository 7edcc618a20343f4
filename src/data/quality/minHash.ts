/** Places of a signature, a byte each. */
export const SIGNATURE_BYTES = 64;

/** Characters of a shingle: words need no spaces between them, as in Chinese. */
const SHINGLE = 5;
/** Hash functions, each of which fills a quarter of the places. */
const SEEDS = [0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f] as const;
const BINS = SIGNATURE_BYTES / SEEDS.length;
const BIN_SHIFT = 32 - Math.log2(BINS);
/** The rolling hash multiplies by this; what leaves a shingle was multiplied as often. */
const BASE = 0x01000193;
const LEAVING = power(BASE, SHINGLE - 1);
/** What is compared of longer texts, in characters. */
const MOST_CHARACTERS = 20_000;
/** Places that no shingle fell into take the next one's value, changed by the distance. */
const EMPTY = 0xffffffff;
const DISTANCE = 0x3c6ef372;

/** How much of one of 256 values two unlike places agree by chance. */
const BY_CHANCE = 1 / 256;

/**
 * Writes the signature of a text: MinHash with one permutation (Li, Owen and Zhang, 2012) for each
 * of four hash functions, places without a value taking that of the next one (Shrivastava and Li,
 * 2014), of which the lowest 8 bits are kept (Li and König, 2010). Capitals and white space do not
 * count. False: the text has no letters, and nothing is written.
 *
 * @param into SIGNATURE_BYTES bytes.
 */
export function writeSignature(text: string, into: Uint8Array): boolean {
  const plain = text.slice(0, MOST_CHARACTERS).toLowerCase().replace(/\s+/g, ' ').trim();
  if (plain === '') return false;
  const least = new Uint32Array(SIGNATURE_BYTES).fill(EMPTY);
  const length = Math.min(SHINGLE, plain.length);
  let hash = 0;
  for (let i = 0; i < plain.length; i++) {
    if (i >= length) hash = (hash - Math.imul(plain.charCodeAt(i - length), LEAVING)) | 0;
    hash = (Math.imul(hash, BASE) + plain.charCodeAt(i)) | 0;
    if (i >= length - 1) keepLeast(hash, least);
  }
  for (let place = 0; place < SIGNATURE_BYTES; place++) into[place] = filled(least, place) & 0xff;
  return true;
}

/** The share of shingles that two texts have in common (Jaccard), estimated. */
export function likeness(signatures: Uint8Array, a: number, b: number): number {
  const [first, second] = [a * SIGNATURE_BYTES, b * SIGNATURE_BYTES];
  let same = 0;
  for (let i = 0; i < SIGNATURE_BYTES; i++)
    if (signatures[first + i] === signatures[second + i]) same++;
  return Math.max(0, (same / SIGNATURE_BYTES - BY_CHANCE) / (1 - BY_CHANCE));
}

function keepLeast(hash: number, least: Uint32Array): void {
  for (let s = 0; s < SEEDS.length; s++) {
    const mixed = mix(hash ^ SEEDS[s]!);
    const place = s * BINS + (mixed >>> BIN_SHIFT);
    const value = (mixed << (32 - BIN_SHIFT)) >>> 0;
    if (value < least[place]!) least[place] = value;
  }
}

/** The value of a place, or that of the next one of the same hash function that has one. */
function filled(least: Uint32Array, place: number): number {
  const start = place - (place % BINS);
  for (let step = 0; step < BINS; step++) {
    const value = least[start + ((place - start + step) % BINS)]!;
    if (value !== EMPTY) return mix(value + Math.imul(step, DISTANCE));
  }
  return 0;
}

/** The finalizer of MurmurHash3. */
function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function power(base: number, exponent: number): number {
  let product = 1;
  for (let i = 0; i < exponent; i++) product = Math.imul(product, base);
  return product;
}
