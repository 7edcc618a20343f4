/** Element types of tensors, as safetensors and GGUF files name them. */
export type DType =
  | 'F64'
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'F8_E4M3'
  | 'F8_E5M2'
  | 'I64'
  | 'I32'
  | 'I16'
  | 'I8'
  | 'U64'
  | 'U32'
  | 'U16'
  | 'U8'
  | 'BOOL'
  | 'Q4_0'
  | 'Q4_1'
  | 'Q5_0'
  | 'Q5_1'
  | 'Q8_0'
  | 'Q4_K'
  | 'Q5_K'
  | 'Q6_K'
  | 'Q2_K'
  | 'Q3_K'
  | 'IQ4_NL'
  | 'IQ4_XS';

/** A stored tensor without its data. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  /** Row-major, outermost dimension first (a GGUF file stores them in reverse). */
  readonly shape: readonly number[];
}

/** The number of elements of a tensor; 1 for a scalar. */
export const elementsOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** The number of elements of all tensors together. */
export function countParameters(tensors: ReadonlyMap<string, TensorInfo>): number {
  return [...tensors.values()].reduce((sum, { shape }) => sum + elementsOf(shape), 0);
}
