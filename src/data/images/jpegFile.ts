import { exifOrientation, xmpOrientation, type Orientation } from './orientation';

/** A part of a JPEG: a marker with its data, and after a start of scan the coded pixels. */
export interface Segment {
  /** The second byte of the marker. */
  readonly marker: number;
  /** After the marker and the length. */
  readonly data: Buffer;
  /** The coded pixels that follow a start of scan. */
  readonly coded: Buffer;
}

export interface JpegComponent {
  readonly id: number;
  /** Sampling factors. */
  readonly across: number;
  readonly down: number;
  /** Of its quantization. */
  readonly tableNumber: number;
}

/** What the header of a JPEG says. */
export interface JpegHeader {
  readonly width: number;
  readonly height: number;
  readonly components: readonly JpegComponent[];
}

/** How the components of an image make colours. */
export type JpegColors = 'grey' | 'rgb' | 'ycc' | 'cmyk' | 'ycck';

export interface JpegFile extends JpegHeader {
  /** The second byte of the marker of its frame. */
  readonly frame: number;
  /** The largest sampling factors. */
  readonly most: { readonly across: number; readonly down: number };
  readonly colors: JpegColors;
  readonly orientation: Orientation;
  readonly segments: readonly Segment[];
}

const [SOI, EOI, SOS, APP0, APP1, APP14] = [0xd8, 0xd9, 0xda, 0xe0, 0xe1, 0xee];
const NONE = Buffer.alloc(0);
const EXIF = 'Exif\0\0';
const XMP = 'http://ns.adobe.com/xap/1.0/\0';
/** Each scan of a progressive JPEG goes over the whole image; usual are at most 12. */
const MOST_SCANS = 100;
/** Frames by their marker: baseline, extended, progressive. Others are not read. */
const FRAMES: ReadonlySet<number> = new Set([0xc0, 0xc1, 0xc2]);
/** Not frames, though among their markers: Huffman tables, an extension, arithmetic tables. */
const NO_FRAMES: ReadonlySet<number> = new Set([0xc4, 0xc8, 0xcc]);

/**
 * Reads what a JPEG has beside its coded pixels.
 *
 * @throws Error where it is cut short, or of a kind that is not read
 */
export function readJpegFile(bytes: Buffer): JpegFile {
  const segments = [...segmentsOf(bytes)];
  const scans = segments.filter(({ marker }) => marker === SOS).length;
  if (scans > MOST_SCANS) throw new Error(`it has more than ${MOST_SCANS} scans`);
  if (segments.at(-1)?.marker !== EOI) throw new Error('the file is cut short');
  const frames = segments.filter(isFrame);
  const [frame] = frames;
  if (!frame || frames.length > 1) throw new Error(`it has ${frames.length} frames, not one`);
  const header = headerOf(frame);
  const { components } = header;
  const most = {
    across: Math.max(...components.map(({ across }) => across)),
    down: Math.max(...components.map(({ down }) => down)),
  };
  if (components.some(({ across, down }) => most.across % across > 0 || most.down % down > 0))
    throw new Error('its chroma subsampling is fractional');
  return {
    ...header,
    frame: frame.marker,
    most,
    colors: colorsOf(header, segments),
    orientation: orientationIn(segments),
    segments,
  };
}

/** The header in the first bytes of a JPEG; null: it is not among them. */
export function findJpegHeader(bytes: Buffer): JpegHeader | null {
  for (const segment of segmentsOf(bytes)) {
    if (segment.marker === SOS) return null;
    if (isFrame(segment)) return headerOf(segment);
  }
  return null;
}

const isFrame = ({ marker }: Segment) => marker >= 0xc0 && marker <= 0xcf && !NO_FRAMES.has(marker);

/** @throws Error for a frame that is cut short, or of a kind that is not read */
function headerOf({ marker, data }: Segment): JpegHeader {
  if (!FRAMES.has(marker))
    throw new Error(`its coding (SOF${marker - 0xc0}) is neither baseline nor progressive`);
  const count = data[5];
  if (count === undefined || data.length < 6 + 3 * count)
    throw new Error('its header is cut short');
  if (data[0] !== 8) throw new Error(`its samples have ${data[0]} bits instead of 8`);
  const components = Array.from({ length: count }, (_, i) => {
    const [id, factors, tableNumber] = data.subarray(6 + 3 * i, 9 + 3 * i);
    return { id: id!, across: factors! >> 4, down: factors! & 15, tableNumber: tableNumber! };
  });
  if (components.some(({ across, down }) => !isFactor(across) || !isFactor(down)))
    throw new Error('its sampling factors are not 1 to 4');
  return { height: data.readUInt16BE(1), width: data.readUInt16BE(3), components };
}

const isFactor = (factor: number) => factor >= 1 && factor <= 4;

/**
 * The parts up to the end of the image, or of a file that is cut short. Bytes between parts are
 * skipped, as libjpeg does.
 */
function* segmentsOf(bytes: Buffer): Generator<Segment> {
  for (let at = 2; at < bytes.length;) {
    const start = bytes.indexOf(0xff, at);
    const marker = start < 0 ? undefined : bytes[start + 1];
    if (marker === undefined) return;
    // fill bytes, and what belongs to coded pixels
    const isNone = marker === 0xff || marker === 0 || (marker >= 0xd0 && marker <= SOI);
    if (isNone) {
      at = start + (marker === 0xff ? 1 : 2);
      continue;
    }
    if (marker === EOI) {
      yield { marker, data: NONE, coded: NONE };
      return;
    }
    if (start + 4 > bytes.length) return;
    const end = start + 2 + Math.max(2, bytes.readUInt16BE(start + 2));
    if (end > bytes.length) return;
    at = marker === SOS ? endOfScan(bytes, end) : end;
    yield { marker, data: bytes.subarray(start + 4, end), coded: bytes.subarray(end, at) };
  }
}

/** Coded pixels end at a marker: 0xff that no zero follows, nor a restart marker. */
function endOfScan(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(0xff, from); at >= 0; at = bytes.indexOf(0xff, at + 1)) {
    const next = bytes[at + 1];
    if (next !== undefined && next !== 0 && next !== 0xff && (next < 0xd0 || next > 0xd7))
      return at;
  }
  return bytes.length;
}

const RGB_IDS = Buffer.from('RGB');

/**
 * As libjpeg guesses the colours (default_decompress_parms in jdapimin.c): from the JFIF and Adobe
 * markers, then from the names of the components.
 *
 * @throws Error for a number of components that is none of these
 */
function colorsOf({ components }: JpegHeader, segments: readonly Segment[]): JpegColors {
  const adobe = segments.find(
    ({ marker, data }) => marker === APP14 && data.length >= 12 && startsWith(data, 'Adobe'),
  );
  const transform = adobe?.data[11];
  switch (components.length) {
    case 1:
      return 'grey';
    case 3: {
      const isJfif = segments.some(
        ({ marker, data }) => marker === APP0 && startsWith(data, 'JFIF\0'),
      );
      if (isJfif) return 'ycc';
      if (transform !== undefined) return transform === 0 ? 'rgb' : 'ycc';
      return components.every(({ id }, i) => id === RGB_IDS[i]) ? 'rgb' : 'ycc';
    }
    case 4:
      return transform === undefined || transform === 0 ? 'cmyk' : 'ycck';
    default:
      throw new Error(`it has ${components.length} colours instead of 1, 3 or 4`);
  }
}

const startsWith = (data: Buffer, text: string): boolean =>
  data.toString('latin1', 0, text.length) === text;

/** As Pillow reads it: from EXIF, else from XMP. */
function orientationIn(segments: readonly Segment[]): Orientation {
  const metadata = segments.filter(({ marker }) => marker === APP1).map(({ data }) => data);
  const exif = metadata.find((data) => startsWith(data, EXIF));
  const stated = exif && exifOrientation(exif.subarray(EXIF.length));
  if (stated) return stated;
  const xmp = metadata.find((data) => startsWith(data, XMP));
  return (xmp && xmpOrientation(xmp.toString('latin1', XMP.length))) ?? 1;
}
