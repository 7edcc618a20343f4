import type { BitReader, HuffmanTable } from './jpegEntropy';

/** Places of the coefficients in the order of the file (T.81, figure A.6). */
export const ZIGZAG = Uint8Array.from([
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
  13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52,
  45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
]);

/** What a scan reads of its blocks: coefficients from and to, bits from and to (T.81, G.1.2). */
export interface ScanPart {
  readonly from: number;
  readonly to: number;
  /** The bits below this one are of later scans. */
  readonly low: number;
  /** Whether earlier scans have read the upper bits. */
  readonly refines: boolean;
}

/** The state of a component in a scan. */
export interface ScanState {
  /** The first coefficient of the block before. */
  before: number;
  readonly dc: HuffmanTable | undefined;
  readonly ac: HuffmanTable | undefined;
}

/** Reads 64 coefficients from `at` on. */
export type BlockReader = (coefficients: Int16Array, at: number, state: ScanState) => void;

/** @returns A reader of the blocks of a scan; and what begins anew at a restart marker. */
export function blockReader(
  bits: BitReader,
  part: ScanPart | null,
): { readonly read: BlockReader; readonly restart: () => void } {
  if (part === null) return { read: (...block) => readWhole(bits, ...block), restart: () => {} };
  if (part.from === 0) return { read: firstReader(bits, part), restart: () => {} };
  const run = { blocks: 0 };
  const read: BlockReader = part.refines
    ? (coefficients, at, state) => refineOthers({ bits, part, run }, coefficients, at, state)
    : (coefficients, at, state) => readOthers({ bits, part, run }, coefficients, at, state);
  return { read, restart: () => (run.blocks = 0) };
}

function known(table: HuffmanTable | undefined): HuffmanTable {
  if (!table) throw new Error('its Huffman tables are missing');
  return table;
}

/** The whole block of a baseline image (T.81, F.2.2). */
function readWhole(bits: BitReader, coefficients: Int16Array, at: number, state: ScanState): void {
  const [dc, ac] = [known(state.dc), known(state.ac)];
  state.before += bits.readSigned(bits.decode(dc) & 15);
  coefficients[at] = state.before;
  for (let k = 1; k < 64; k++) {
    const code = bits.decode(ac);
    const [zeros, size] = [code >> 4, code & 15];
    if (size === 0 && zeros < 15) return;
    k += zeros;
    const value = bits.readSigned(size);
    if (size > 0) coefficients[at + placeOf(k)] = value;
  }
}

function placeOf(k: number): number {
  const place = ZIGZAG[k];
  if (place === undefined) throw new Error('its coded pixels are damaged');
  return place;
}

/** The first coefficients of a progressive image, or one more bit of each. */
function firstReader(bits: BitReader, { low, refines }: ScanPart): BlockReader {
  return (coefficients, at, state) => {
    if (refines) {
      coefficients[at] = coefficients[at]! | (bits.read(1) << low);
      return;
    }
    state.before += bits.readSigned(bits.decode(known(state.dc)) & 15);
    coefficients[at] = state.before << low;
  };
}

/** A scan of a progressive image, with the blocks left that have no more coefficients. */
interface OtherScan {
  readonly bits: BitReader;
  readonly part: ScanPart;
  readonly run: { blocks: number };
}

/** The other coefficients of a progressive image for the first time (T.81, G.1.2.2). */
function readOthers(
  { bits, part: { from, to, low }, run }: OtherScan,
  coefficients: Int16Array,
  at: number,
  state: ScanState,
): void {
  if (run.blocks > 0) {
    run.blocks--;
    return;
  }
  const ac = known(state.ac);
  for (let k = from; k <= to; k++) {
    const code = bits.decode(ac);
    const [zeros, size] = [code >> 4, code & 15];
    if (size === 0 && zeros < 15) {
      run.blocks = (1 << zeros) + bits.read(zeros) - 1;
      return;
    }
    k += zeros;
    const value = bits.readSigned(size);
    if (size > 0) coefficients[at + placeOf(k)] = value * (1 << low);
  }
}

/** One more bit of the other coefficients (T.81, G.1.2.3). */
function refineOthers(
  scan: OtherScan,
  coefficients: Int16Array,
  at: number,
  state: ScanState,
): void {
  const { bits, part, run } = scan;
  const bit = 1 << part.low;
  const ac = known(state.ac);
  let k = part.from;
  while (run.blocks === 0 && k <= part.to) {
    const code = bits.decode(ac);
    const [zeros, size] = [code >> 4, code & 15];
    if (size === 0 && zeros < 15) {
      run.blocks = (1 << zeros) + bits.read(zeros);
      break;
    }
    const value = size > 0 ? bit * (2 * bits.read(1) - 1) : 0;
    k = refined(scan, { coefficients, at, from: k, zeros });
    if (value !== 0 && k <= part.to) coefficients[at + placeOf(k)] = value;
    k++;
  }
  if (run.blocks === 0) return;
  refined(scan, { coefficients, at, from: k, zeros: 64 });
  run.blocks--;
}

interface Refined {
  readonly coefficients: Int16Array;
  readonly at: number;
  readonly from: number;
  /** Coefficients that stay zero before the one that is returned. */
  readonly zeros: number;
}

/** Reads one more bit of the coefficients that are not zero. @returns Where a new one begins. */
function refined({ bits, part }: OtherScan, { coefficients, at, from, zeros }: Refined): number {
  const bit = 1 << part.low;
  let left = zeros;
  let k = from;
  for (; k <= part.to; k++) {
    const place = at + placeOf(k);
    const value = coefficients[place]!;
    if (value === 0) {
      if (left === 0) break;
      left--;
    } else if (bits.read(1) === 1 && (value & bit) === 0) {
      coefficients[place] = value + (value > 0 ? bit : -bit);
    }
  }
  return k;
}
