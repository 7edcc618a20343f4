import { BitReader, huffmanTable, type HuffmanTable } from './jpegEntropy';
import { blockReader, ZIGZAG, type ScanPart, type ScanState } from './jpegBlocks';
import { inverseCosine } from './inverseCosine';
import type { JpegComponent, JpegFile, Segment } from './jpegFile';
import type { Plane } from './upsample';

/** Coefficients of all components: 512 MB. */
const MOST_COEFFICIENTS = 256e6;
const [HUFFMAN, SCAN, QUANTIZATION, RESTARTS, PROGRESSIVE] = [0xc4, 0xda, 0xdb, 0xdd, 0xc2];

/** A component with the coefficients of its blocks. */
interface Component extends JpegComponent {
  /** Samples. */
  readonly width: number;
  readonly height: number;
  /** Blocks in a row and in a column, with those that fill up the last units. */
  readonly blocksAcross: number;
  readonly blocksDown: number;
  readonly coefficients: Int16Array;
  /** The factors of the coefficients, as they are when its first scan begins. */
  table: Uint16Array | null;
}

/** What the parts of a file have said so far. */
interface Tables {
  readonly quantization: (Uint16Array | undefined)[];
  readonly dc: (HuffmanTable | undefined)[];
  readonly ac: (HuffmanTable | undefined)[];
  /** Units between two restart markers; 0: there are none. */
  restart: number;
}

/**
 * Decodes the samples of all components.
 *
 * @throws Error where the file is damaged or takes too much memory
 */
export function decodePlanes(file: JpegFile): readonly Plane[] {
  const components = componentsOf(file);
  const tables: Tables = { quantization: [], dc: [], ac: [], restart: 0 };
  for (const segment of file.segments) {
    if (segment.marker === QUANTIZATION) readQuantization(segment.data, tables);
    else if (segment.marker === HUFFMAN) readHuffman(segment.data, tables);
    else if (segment.marker === RESTARTS) tables.restart = segment.data.readUInt16BE(0);
    else if (segment.marker === SCAN) readScan(segment, { file, components, tables });
  }
  return components.map(planeOf);
}

function componentsOf({ width, height, components, most }: JpegFile): readonly Component[] {
  const unitsAcross = Math.ceil(width / (8 * most.across));
  const unitsDown = Math.ceil(height / (8 * most.down));
  const sizes = components.map((component) => ({
    ...component,
    width: Math.ceil((width * component.across) / most.across),
    height: Math.ceil((height * component.down) / most.down),
    blocksAcross: unitsAcross * component.across,
    blocksDown: unitsDown * component.down,
    table: null,
  }));
  const total = sizes.reduce((sum, size) => sum + size.blocksAcross * size.blocksDown * 64, 0);
  if (total > MOST_COEFFICIENTS) throw new Error('its pixels take too much memory');
  return sizes.map((size) => ({
    ...size,
    coefficients: new Int16Array(size.blocksAcross * size.blocksDown * 64),
  }));
}

function readQuantization(data: Buffer, { quantization }: Tables): void {
  for (let at = 0; at < data.length;) {
    const spec = data[at++]!;
    const bytes = spec >> 4 === 0 ? 1 : 2;
    if (at + 64 * bytes > data.length) throw new Error('its tables are cut short');
    const table = new Uint16Array(64);
    for (let i = 0; i < 64; i++) table[ZIGZAG[i]!] = data.readUIntBE(at + i * bytes, bytes);
    quantization[spec & 15] = table;
    at += 64 * bytes;
  }
}

function readHuffman(data: Buffer, tables: Tables): void {
  for (let at = 0; at < data.length;) {
    const spec = data[at]!;
    const counts = data.subarray(at + 1, at + 17);
    const values = at + 17 + counts.reduce((a, b) => a + b, 0);
    if (counts.length < 16 || values > data.length) throw new Error('its tables are cut short');
    const table = huffmanTable(counts, data.subarray(at + 17, values));
    (spec >> 4 === 0 ? tables.dc : tables.ac)[spec & 15] = table;
    at = values;
  }
}

interface Decoding {
  readonly file: JpegFile;
  readonly components: readonly Component[];
  readonly tables: Tables;
}

/** A component of a scan. */
interface Scanned {
  readonly component: Component;
  readonly state: ScanState;
}

function readScan({ data, coded }: Segment, { file, components, tables }: Decoding): void {
  const count = data[0] ?? 0;
  if (count === 0 || data.length < 4 + 2 * count) throw new Error('a scan is cut short');
  const scanned = Array.from({ length: count }, (_, i): Scanned => {
    const [id, spec] = data.subarray(1 + 2 * i, 3 + 2 * i);
    const component = components.find((own) => own.id === id);
    if (!component) throw new Error('a scan belongs to no colour of the image');
    component.table ??= tables.quantization[component.tableNumber] ?? null;
    return {
      component,
      state: { before: 0, dc: tables.dc[spec! >> 4], ac: tables.ac[spec! & 15] },
    };
  });
  const part = file.frame === PROGRESSIVE ? partOf(data.subarray(1 + 2 * count), count) : null;
  const bits = new BitReader(coded);
  const { read, restart } = blockReader(bits, part);
  const units = unitsOf(scanned, file);
  for (let unit = 0; unit < units.count; unit++) {
    if (tables.restart > 0 && unit > 0 && unit % tables.restart === 0) {
      bits.restart();
      restart();
      for (const { state } of scanned) state.before = 0;
    }
    for (const own of scanned)
      units.blocks(own, unit, (at) => read(own.component.coefficients, at, own.state));
  }
}

function partOf(data: Buffer, components: number): ScanPart {
  const [from, to, bits] = [data[0]!, data[1]!, data[2]!];
  if (from > to || to > 63 || (from > 0 && components > 1) || (from === 0 && to > 0))
    throw new Error('a scan has an impossible range of coefficients');
  return { from, to, low: bits & 15, refines: bits >> 4 > 0 };
}

interface Units {
  readonly count: number;
  /** Calls with where each block of a component in a unit begins among its coefficients. */
  readonly blocks: (own: Scanned, unit: number, each: (at: number) => void) => void;
}

/** A unit of a scan of one component is a block of its samples (T.81, A.2.2); else of all. */
function unitsOf(scanned: readonly Scanned[], { width, height, most }: JpegFile): Units {
  const [first] = scanned;
  if (scanned.length === 1 && first) {
    const { component } = first;
    const across = Math.ceil(component.width / 8);
    return {
      count: across * Math.ceil(component.height / 8),
      blocks: (_, unit, each) => {
        const row = Math.floor(unit / across);
        each((row * component.blocksAcross + (unit % across)) * 64);
      },
    };
  }
  const across = Math.ceil(width / (8 * most.across));
  return {
    count: across * Math.ceil(height / (8 * most.down)),
    blocks: ({ component }, unit, each) => {
      const top = Math.floor(unit / across) * component.down;
      const left = (unit % across) * component.across;
      for (let y = top; y < top + component.down; y++)
        for (let x = left; x < left + component.across; x++)
          each((y * component.blocksAcross + x) * 64);
    },
  };
}

function planeOf({ coefficients, table, blocksAcross, width, height }: Component): Plane {
  if (!table) throw new Error('its tables are missing');
  const stride = blocksAcross * 8;
  const samples = new Uint8ClampedArray(coefficients.length);
  for (let at = 0, block = 0; at < coefficients.length; at += 64, block++) {
    const row = Math.floor(block / blocksAcross);
    const to = row * 8 * stride + (block % blocksAcross) * 8;
    inverseCosine(coefficients, at, table, { samples, at: to, stride });
  }
  return { width, height, stride, samples };
}
