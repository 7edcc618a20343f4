import { LoraError, type Place } from '../../shared/errors';
import { fromF16 } from '../floats';
import { NPY_DTYPES, readNpyHeader, type NpyDType, type NpyHeader } from './header';

/** An array of NumPy whose header is checked. */
export interface NpyArray {
  readonly dtype: NpyDType;
  readonly shape: readonly number[];
  /** The numbers in C's order, as they are stored; halves as float32. */
  readonly numbers: () => Promise<NpyNumbers>;
}

export type NpyNumbers =
  | Float32Array
  | Float64Array
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigInt64Array
  | BigUint64Array;

/** Whether an array holds integers or truth values. */
export const holdsIntegers = ({ dtype }: Pick<NpyArray, 'dtype'>): boolean =>
  !dtype.startsWith('f');

/** Bytes of a .npy file, or of one in an archive. */
export interface NpyBytes {
  readonly place: Place;
  readonly size: number;
  /** The first bytes, up to `count`. */
  readonly head: (count: number) => Promise<Uint8Array>;
  /** All bytes from `start` on, as an array of its own. */
  readonly from: (start: number) => Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * Opens an array: reads its header, and compares the number of bytes with its shape.
 *
 * @throws LoraError('dataset')
 */
export async function openNpy(bytes: NpyBytes, headerBytes: number): Promise<NpyArray> {
  const { place, size } = bytes;
  const header = readNpyHeader(await bytes.head(headerBytes), place);
  const count = header.shape.reduce((a, b) => a * b, 1);
  const expected = count * NPY_DTYPES[header.dtype];
  if (size - header.start !== expected)
    throw new LoraError(
      'dataset',
      `The array has ${size - header.start} bytes of numbers, but its shape (${header.shape.join(', ')}) takes ${expected}.`,
      { place, fix: 'Write it again with numpy.save, one array in each file.' },
    );
  const { dtype, shape } = header;
  return { dtype, shape, numbers: async () => ordered(await bytes.from(header.start), header) };
}

function stored({ buffer }: Uint8Array<ArrayBuffer>, dtype: NpyDType): NpyNumbers {
  switch (dtype) {
    case 'f2':
      return fromF16(new Uint16Array(buffer));
    case 'f4':
      return new Float32Array(buffer);
    case 'f8':
      return new Float64Array(buffer);
    case 'b1':
    case 'u1':
      return new Uint8Array(buffer);
    case 'i1':
      return new Int8Array(buffer);
    case 'u2':
      return new Uint16Array(buffer);
    case 'i2':
      return new Int16Array(buffer);
    case 'u4':
      return new Uint32Array(buffer);
    case 'i4':
      return new Int32Array(buffer);
    case 'i8':
      return new BigInt64Array(buffer);
    case 'u8':
      return new BigUint64Array(buffer);
  }
}

function ordered(bytes: Uint8Array<ArrayBuffer>, { dtype, shape, is_fortran }: NpyHeader) {
  const numbers = stored(bytes, dtype);
  const isSame = !is_fortran || shape.filter((side) => side > 1).length < 2;
  if (isSame) return numbers;
  const result = numbers.slice();
  let to = 0;
  for (const from of fortranPlaces(shape)) result[to++] = numbers[from]!;
  return result;
}

/** For each element in C's order, its place in Fortran's. */
export function* fortranPlaces(shape: readonly number[]): Generator<number> {
  const count = shape.reduce((a, b) => a * b, 1);
  const strides = shape.map((_, axis) => shape.slice(0, axis).reduce((a, b) => a * b, 1));
  const at = shape.map(() => 0);
  let place = 0;
  for (let i = 0; i < count; i++) {
    yield place;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at[axis]!++;
      place += strides[axis]!;
      if (at[axis]! < shape[axis]!) break;
      place -= at[axis]! * strides[axis]!;
      at[axis] = 0;
    }
  }
}
