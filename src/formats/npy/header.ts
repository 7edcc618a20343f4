import { LoraError, type Place } from '../../shared/errors';

/** Types of numbers by NumPy's codes, without the byte order. */
export const NPY_DTYPES = {
  f2: 2,
  f4: 4,
  f8: 8,
  b1: 1,
  i1: 1,
  i2: 2,
  i4: 4,
  i8: 8,
  u1: 1,
  u2: 2,
  u4: 4,
  u8: 8,
} as const;
export type NpyDType = keyof typeof NPY_DTYPES;

/** What an array of NumPy begins with. */
export interface NpyHeader {
  readonly dtype: NpyDType;
  readonly shape: readonly number[];
  /** The first index changes fastest. */
  readonly is_fortran: boolean;
  /** Where the numbers begin. */
  readonly start: number;
}

const MAGIC = '\x93NUMPY';
/** Of the header's text. NumPy writes some hundred bytes for plain numbers. */
const MOST_TEXT = 65_536;
/** As in NumPy 2. */
const MOST_SIDES = 64;

/** Bytes of a file that hold any header. */
export const MOST_HEADER_BYTES = MOST_TEXT + 12;

const AGAIN = 'Write it again with numpy.save or numpy.savez, as numbers of a plain type.';

/**
 * Reads the header of a .npy file (NumPy's format description, versions 1 to 3).
 *
 * @param bytes The first bytes of the file, all or at least `MOST_HEADER_BYTES`.
 * @throws LoraError('dataset') naming what is wrong, or not supported
 */
export function readNpyHeader(bytes: Uint8Array, place: Place): NpyHeader {
  const fault = (message: string, fix = AGAIN) => new LoraError('dataset', message, { place, fix });
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < 12 || buffer.toString('latin1', 0, 6) !== MAGIC)
    throw fault('The file is not an array of NumPy (.npy).');
  const version = buffer[6]!;
  if (version < 1 || version > 3)
    throw fault(`The array is of version ${version} of NumPy's format, which is not known.`);
  const textAt = version === 1 ? 10 : 12;
  const length = version === 1 ? buffer.readUInt16LE(8) : buffer.readUInt32LE(8);
  if (length > MOST_TEXT || textAt + length > buffer.length)
    throw fault(`The array has a header of ${length} bytes, more than it can have.`);
  const values = readLiteral(buffer.toString('latin1', textAt, textAt + length));
  if (!values) throw fault("The array's header is not as NumPy writes it.");
  return {
    dtype: dtypeOf(values.descr, fault),
    shape: shapeOf(values.shape, fault),
    is_fortran: values.fortran_order === 'True',
    start: textAt + length,
  };
}

type Fault = (message: string, fix?: string) => LoraError;

interface Literal {
  readonly descr: string;
  readonly fortran_order: string;
  readonly shape: string;
}

/** The values of the header's dictionary, in any order; null: something else is there. */
function readLiteral(text: string): Literal | null {
  const inner = /^\s*\{([^{}]*)\}\s*$/.exec(text)?.[1];
  if (inner === undefined) return null;
  const entry = /\s*'(\w+)'\s*:\s*('[^']*'|True|False|\([\d,\sL]*\)|\[[^\]]*\])\s*(?:,|$)/y;
  const found = new Map<string, string>();
  while (entry.lastIndex < inner.trimEnd().length) {
    const [, key, value] = entry.exec(inner) ?? [];
    if (key === undefined || value === undefined || found.has(key)) return null;
    found.set(key, value);
  }
  const [descr, fortran_order, shape] = ['descr', 'fortran_order', 'shape'].map((key) =>
    found.get(key),
  );
  const isWhole = found.size === 3 && descr !== undefined && shape?.startsWith('(') === true;
  if (!isWhole || !/^(?:True|False)$/.test(fortran_order ?? '')) return null;
  return { descr, fortran_order: fortran_order!, shape };
}

/** Codes of what is not read, and why. */
const OTHERS: readonly (readonly [RegExp, string])[] = [
  [/^'\|?O\d*'$/, 'pickled objects, which are not read because they can run code'],
  [/^\[/, 'records of several fields'],
  [/^'>/, 'numbers in big-endian order'],
  [/^'[<|=]?[SaU]/, 'texts'],
  [/^'[<|=]?c/, 'complex numbers'],
  [/^'[<|=]?[mM]/, 'times'],
];

function dtypeOf(descr: string, fault: Fault): NpyDType {
  const code = /^'[<|=]?(\w+)'$/.exec(descr)?.[1] ?? '';
  if (Object.hasOwn(NPY_DTYPES, code)) return code as NpyDType;
  const other = OTHERS.find(([expression]) => expression.test(descr))?.[1];
  const shown = descr.slice(0, 40);
  throw fault(
    other === undefined
      ? `The array's type ${shown} is not supported.`
      : `The array holds ${other} (${shown}).`,
    `Convert it first: array.astype("float32"), or "int64" for classes.`,
  );
}

function shapeOf(text: string, fault: Fault): readonly number[] {
  const sides = text
    .slice(1, -1)
    .split(',')
    .map((side) => side.trim().replace(/L$/, ''))
    .filter((side) => side !== '');
  const shape = sides.map(Number);
  const size = shape.reduce((a, b) => a * b, 1);
  if (shape.length <= MOST_SIDES && shape.every(Number.isSafeInteger) && Number.isSafeInteger(size))
    return shape;
  throw fault(`The array's shape ${text.slice(0, 60)} is not one.`);
}
