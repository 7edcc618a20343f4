import type { Adapter, LoraFactors } from './adapter';

type Factors = Pick<LoraFactors, 'A' | 'B' | 'r' | 'in_features' | 'out_features' | 'scaling'>;

/** Whether dW = s·BA has no element but 0; computed column by column until one is found. */
export function isZeroUpdate({ A, B, r, in_features, out_features, scaling }: Factors): boolean {
  if (scaling === 0 || isZero(A) || isZero(B)) return true;
  for (let i = 0; i < in_features; i++) {
    const column = Float64Array.from({ length: r }, (_, k) => A[k * in_features + i]!);
    if (isZero(column)) continue;
    for (let o = 0; o < out_features; o++) {
      let sum = 0;
      for (let k = 0; k < r; k++) sum += B[o * r + k]! * column[k]!;
      if (sum !== 0) return false;
    }
  }
  return true;
}

const isZero = (values: Float32Array | Float64Array): boolean => values.every((own) => own === 0);

/** The sentence on an adapter whose update is zero in every module; null: it is not. */
export function describeZeroUpdate({ modules }: Pick<Adapter, 'modules'>): string | null {
  if (!modules.every(isZeroUpdate)) return null;
  const sentence = 'The update is zero: A, B or the scale is zero in every module.';
  return modules.some((m) => m.magnitude)
    ? `${sentence} The magnitudes of DoRA can still change the model.`
    : sentence;
}
