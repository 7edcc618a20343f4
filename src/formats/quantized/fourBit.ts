import { DYNAMIC_MAP, FOUR_BIT_CODES, type FourBitType } from './codes';
import { roundTo, typeNumber, type QuantizedMatrix, type Rounding, type RowForm } from './matrix';

/** Values that share a scale where the kernels read rows. */
export const BLOCK = 64;
/** Scales that share one of their own. */
const NESTED_BLOCK = 256;

/** The largest absolute value of each block, in f32 or quantized themselves. */
export type FourBitScales =
  | { readonly kind: 'plain'; readonly absmax: Float32Array }
  | {
      readonly kind: 'nested';
      /** Of DYNAMIC_MAP. */
      readonly codes: Uint8Array;
      /** Of each 256 scales. */
      readonly absmax: Float32Array;
      readonly offset: number;
    };

/** A matrix as bitsandbytes stores it in 4 bits. */
export interface FourBitStorage {
  readonly code: FourBitType;
  readonly shape: readonly [rows: number, width: number];
  /** Two numbers of a code, the first in the upper half. */
  readonly packed: Uint8Array;
  /** Consecutive values, even across the ends of rows, that share a scale. */
  readonly block: number;
  readonly scales: FourBitScales;
  readonly rounding: Rounding;
}

type FourBitForm = Pick<FourBitStorage, 'code' | 'shape' | 'block' | 'rounding'> & {
  readonly nested: boolean;
};

/** Scales of scales that a row of `blocks` can have. */
const groupsOfRow = (blocks: number): number => ((blocks + NESTED_BLOCK - 2) >> 8) + 1;

/** Null where a block would cross the end of a row. */
export function fourBitForm(form: FourBitForm): RowForm | null {
  const { code, shape, block, rounding, nested } = form;
  const [, width] = shape;
  if (block !== BLOCK || width % BLOCK !== 0) return null;
  const blocks = width / BLOCK;
  if (!nested) return { type: typeNumber(code, rounding), row_bytes: blocks * (4 + BLOCK / 2) };
  const header = 4 * (2 + groupsOfRow(blocks));
  const type = typeNumber(`${code}_nested`, rounding);
  return { type, row_bytes: header + blocks * (1 + BLOCK / 2) };
}

/** Values are code · scale; nested scales are DYNAMIC_MAP[code] · absmax + offset, all in f32. */
export class FourBitMatrix implements QuantizedMatrix {
  constructor(readonly storage: FourBitStorage) {}

  values(target?: Float32Array): Float32Array {
    const { code, shape, packed, block, rounding } = this.storage;
    const [rows, width] = shape;
    const values = target ?? new Float32Array(rows * width);
    const numbers = FOUR_BIT_CODES[code];
    const scales = absmaxOf(this.storage.scales);
    for (let i = 0; i < values.length; i++) {
      const pair = packed[i >> 1]!;
      values[i] = numbers[i & 1 ? pair & 15 : pair >> 4]! * scales[Math.floor(i / block)]!;
    }
    return roundTo(rounding, values);
  }

  scales(): Float32Array {
    return absmaxOf(this.storage.scales);
  }

  writeRow(row: number, bytes: Uint8Array): void {
    const { shape, scales } = this.storage;
    const blocks = shape[1] / BLOCK;
    const first = row * blocks;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (scales.kind === 'plain') {
      for (let b = 0; b < blocks; b++) {
        const at = b * (4 + BLOCK / 2);
        view.setFloat32(at, scales.absmax[first + b]!, true);
        this.writeBlock(first + b, bytes, at + 4);
      }
      return;
    }
    const group = Math.floor(first / NESTED_BLOCK);
    const groups = groupsOfRow(blocks);
    view.setUint32(0, first % NESTED_BLOCK, true);
    view.setFloat32(4, scales.offset, true);
    for (let g = 0; g < groups; g++)
      view.setFloat32(8 + 4 * g, scales.absmax[group + g] ?? 0, true);
    for (let b = 0; b < blocks; b++) {
      const at = 8 + 4 * groups + b * (1 + BLOCK / 2);
      bytes[at] = scales.codes[first + b]!;
      this.writeBlock(first + b, bytes, at + 1);
    }
  }

  /** For each 32 values 16 bytes: the first half of them in the lower bits, the second above. */
  private writeBlock(block: number, bytes: Uint8Array, at: number): void {
    const { packed } = this.storage;
    for (let unit = 0; unit < 2; unit++) {
      const from = block * (BLOCK / 2) + unit * 16;
      const to = at + unit * 16;
      for (let i = 0; i < 8; i++) {
        const [low, high] = [packed[from + i]!, packed[from + i + 8]!];
        bytes[to + 2 * i] = (low >> 4) | (high & 0xf0);
        bytes[to + 2 * i + 1] = (low & 15) | ((high & 15) << 4);
      }
    }
  }
}

/** The scales in f32. */
export function absmaxOf(scales: FourBitScales): Float32Array {
  if (scales.kind === 'plain') return scales.absmax;
  const { codes, absmax, offset } = scales;
  return Float32Array.from(
    codes,
    (code, i) => Math.fround(DYNAMIC_MAP[code]! * absmax[Math.floor(i / NESTED_BLOCK)]!) + offset,
  );
}

const NF4 = FOUR_BIT_CODES.nf4;
/** Between two neighbouring numbers. */
const NF4_BOUNDS = Float32Array.from(
  NF4.subarray(1),
  (upper, i) => Math.fround(NF4[i]! + upper) / 2,
);
/** Steps of a table over [-1, 1], small enough that each holds one bound at most. */
const STEPS = 128;
const LOWEST = Uint8Array.from(
  { length: STEPS + 1 },
  (_, i) => NF4_BOUNDS.filter((bound) => bound < (i / STEPS) * 2 - 1).length,
);
const SMALLEST_ABSMAX = Math.fround(1e-38);

/**
 * NF4 in blocks of 64 with quantized scales, as quantize_4bit of bitsandbytes 0.50 computes it on
 * the CPU with compress_statistics. `values`: finite, row-major.
 */
export function quantizeNf4(
  values: Float32Array,
  shape: readonly [rows: number, width: number],
  rounding: Rounding = 'F32',
): FourBitMatrix {
  const absmax = new Float32Array(Math.ceil(values.length / BLOCK));
  const codes = new Uint8Array(values.length);
  for (let b = 0; b < absmax.length; b++) {
    const [from, to] = [b * BLOCK, Math.min((b + 1) * BLOCK, values.length)];
    let most = 0;
    for (let i = from; i < to; i++) {
      const size = Math.abs(values[i]!);
      if (size > most) most = size;
    }
    const divisor = Math.max(most, SMALLEST_ABSMAX);
    const factor = Math.fround(1 / divisor);
    // of a block that is not full, bitsandbytes divides
    const isFull = to - from === BLOCK;
    absmax[b] = isFull ? most : divisor;
    if (isFull)
      for (let i = from; i < to; i++) codes[i] = nearestNf4(Math.fround(values[i]! * factor));
    else for (let i = from; i < to; i++) codes[i] = nearestNf4(Math.fround(values[i]! / divisor));
  }
  const scales = quantizeScales(absmax);
  const packed = packedPairs(codes);
  return new FourBitMatrix({ code: 'nf4', shape, packed, block: BLOCK, scales, rounding });
}

/** The first of two codes in the upper half of a byte; after the last one is that of 0. */
function packedPairs(codes: Uint8Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(codes.length / 2));
  for (let i = 0; i < packed.length; i++)
    packed[i] = (codes[2 * i]! << 4) | (codes[2 * i + 1] ?? NF4_ZERO);
  return packed;
}
const NF4_ZERO = 7;

/** The index of the number next to x, from -1 to 1 or a little more. */
function nearestNf4(x: number): number {
  const step = Math.min(STEPS - 1, Math.max(0, ((x + 1) * (STEPS / 2)) | 0));
  const index = LOWEST[step]!;
  return x > NF4_BOUNDS[index]! ? index + 1 : index;
}

/** bitsandbytes looks the numbers next to values up in a table of so many steps over [-1, 1]. */
const LAST_STEP = 65_535;
let dynamicSteps: Uint8Array | null = null;

/** quantize_blockwise of bitsandbytes 0.50 on the CPU, of the differences from the mean. */
function quantizeScales(absmax: Float32Array): Extract<FourBitScales, { kind: 'nested' }> {
  const offset = Math.fround(absmax.reduce((sum, value) => sum + value, 0) / absmax.length);
  const codes = new Uint8Array(absmax.length);
  const most = new Float32Array(Math.ceil(absmax.length / NESTED_BLOCK));
  dynamicSteps ??= makeDynamicSteps();
  for (let g = 0; g < most.length; g++) {
    const from = g * NESTED_BLOCK;
    const centred = absmax.slice(from, from + NESTED_BLOCK).map((value) => value - offset);
    most[g] = centred.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    const factor = Math.fround(1 / most[g]!);
    centred.forEach((value, i) => {
      const x = Math.fround(Math.fround(value * factor) + 1);
      const step = Math.fround(Math.fround(x * (LAST_STEP / 2)) + 0.5);
      codes[from + i] = dynamicSteps![Math.min(LAST_STEP, step | 0)]!;
    });
  }
  return { kind: 'nested', codes, absmax: most, offset };
}

function makeDynamicSteps(): Uint8Array {
  const steps = new Uint8Array(LAST_STEP + 1);
  let code = 0;
  for (let i = 0; i <= LAST_STEP; i++) {
    const value = Math.fround((2 * i) / LAST_STEP - 1);
    while (code < 255 && value > Math.fround(DYNAMIC_MAP[code]! + DYNAMIC_MAP[code + 1]!) / 2)
      code++;
    steps[i] = code;
  }
  return steps;
}
