/** Bits that a code is looked up by; longer codes are rare. */
const LOOKUP_BITS = 9;
const LONGEST_CODE = 16;

/** A Huffman table of a JPEG (ITU-T T.81, Annex C and F.2.2.3). */
export interface HuffmanTable {
  /** For the next 9 bits: the code's length in the upper 8 bits, its value; 0: a longer code. */
  readonly lookup: Uint16Array;
  /** For each length, the largest code; -1: none. */
  readonly largest: Int32Array;
  /** For each length, what is added to a code to get the place of its value. */
  readonly offset: Int32Array;
  readonly values: Uint8Array;
}

/**
 * @param counts How many codes there are of each length, 1 to 16.
 * @throws Error where there are more codes than fit
 */
export function huffmanTable(counts: Uint8Array, values: Uint8Array): HuffmanTable {
  const lookup = new Uint16Array(2 ** LOOKUP_BITS);
  const largest = new Int32Array(LONGEST_CODE + 1).fill(-1);
  const offset = new Int32Array(LONGEST_CODE + 1);
  let [code, place] = [0, 0];
  for (let length = 1; length <= LONGEST_CODE; length++) {
    offset[length] = place - code;
    for (let i = 0; i < counts[length - 1]!; i++, code++, place++) {
      if (code >= 2 ** length) throw new Error('its Huffman tables are damaged');
      largest[length] = code;
      if (length > LOOKUP_BITS) continue;
      const rest = LOOKUP_BITS - length;
      lookup.fill((length << 8) | values[place]!, code << rest, (code + 1) << rest);
    }
    code *= 2;
  }
  return { lookup, largest, offset, values };
}

/** Reads the coded pixels of a scan, bit by bit. */
export class BitReader {
  private at = 0;
  private bits = 0;
  private count = 0;
  /** How many of the bits are not of the file, but zeros after its end. */
  private padding = 0;

  constructor(private readonly bytes: Buffer) {}

  /** @throws Error where there are no more bits. 0 to 16 bits. */
  read(count: number): number {
    if (count === 0) return 0;
    if (this.count < count) this.fill();
    this.take(count);
    return (this.bits >>> this.count) & ((1 << count) - 1);
  }

  /** A signed number of so many bits (T.81, F.2.2.1: EXTEND). */
  readSigned(count: number): number {
    const value = this.read(count);
    return count > 0 && value < 1 << (count - 1) ? value - (1 << count) + 1 : value;
  }

  /** @throws Error where no code of the table follows. */
  decode({ lookup, largest, offset, values }: HuffmanTable): number {
    if (this.count < LONGEST_CODE) this.fill();
    const found = lookup[(this.bits >>> (this.count - LOOKUP_BITS)) & (2 ** LOOKUP_BITS - 1)]!;
    if (found > 0) {
      this.take(found >> 8);
      return found & 255;
    }
    for (let length = LOOKUP_BITS + 1; length <= LONGEST_CODE; length++) {
      const code = (this.bits >>> (this.count - length)) & ((1 << length) - 1);
      if (code > largest[length]!) continue;
      this.take(length);
      return values[code + offset[length]!] ?? 0;
    }
    throw new Error('its coded pixels are damaged');
  }

  /** Continues after the next restart marker. */
  restart(): void {
    this.bits = 0;
    this.count = 0;
    this.padding = 0;
    const { bytes } = this;
    while (this.at < bytes.length && !isRestart(bytes, this.at)) this.at++;
    if (this.at >= bytes.length) throw new Error('its coded pixels are cut short');
    this.at += 2;
  }

  private take(count: number): void {
    this.count -= count;
    if (this.count < this.padding) throw new Error('its coded pixels are cut short');
  }

  /** Up to 32 bits; zeros after the end, as a code may be shorter than what is looked up. */
  private fill(): void {
    const { bytes } = this;
    while (this.count <= 24) {
      const byte = bytes[this.at];
      const isData = byte !== undefined && (byte !== 0xff || bytes[this.at + 1] === 0);
      this.bits = (this.bits << 8) | (isData ? byte : 0);
      this.count += 8;
      if (isData) this.at += byte === 0xff ? 2 : 1;
      else this.padding = Math.min(32, this.padding + 8);
    }
  }
}

function isRestart(bytes: Buffer, at: number): boolean {
  const next = bytes[at + 1];
  return bytes[at] === 0xff && next !== undefined && next >= 0xd0 && next <= 0xd7;
}
