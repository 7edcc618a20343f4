/** Dropout before the A of one linear layer's factors. */
export interface DropoutForm {
  /** Probability that an input is dropped, in [0, 1). */
  readonly rate: number;
  /** Some ranks of A, and the seed of their mask (`Ops.dropoutMask`); null: nothing is dropped. */
  readonly parts: readonly { readonly r: number; readonly seed: number | null }[];
}

const BITS = new DataView(new ArrayBuffer(4));

/** The bits of a number in f32. */
export function bitsOf(value: number): number {
  BITS.setFloat32(0, value);
  return BITS.getInt32(0);
}

/** The bits of the rate, and of what kept inputs are multiplied by. */
export const describeRate = (rate: number): readonly [rate: number, scale: number] => [
  bitsOf(rate),
  bitsOf(1 / (1 - rate)),
];

/** The integers that src/runtime/kernels/dropout.cc reads of one layer. */
export const describeParts = (dropout: DropoutForm | null): number[] => [
  dropout?.parts.length ?? 0,
  ...(dropout?.parts ?? []).flatMap(({ r, seed }) => [r, Number(seed !== null), seed ?? 0]),
];
