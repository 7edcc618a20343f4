/** Element types of tensors, as safetensors and GGUF files name them. */
export type DType =
  | 'F64'
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'F8_E4M3'
  | 'F8_E5M2'
  | 'F8_E8M0'
  | 'F8_E4M3FNUZ'
  | 'F8_E5M2FNUZ'
  | 'F6_E2M3'
  | 'F6_E3M2'
  | 'F4'
  | 'C64'
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
  | 'IQ4_XS'
  | 'Q8_1'
  | 'Q8_K'
  | 'IQ1_S'
  | 'IQ1_M'
  | 'IQ2_XXS'
  | 'IQ2_XS'
  | 'IQ2_S'
  | 'IQ3_XXS'
  | 'IQ3_S'
  | 'TQ1_0'
  | 'TQ2_0'
  | 'MXFP4'
  | 'NVFP4'
  | 'NF4'
  | 'FP4'
  | 'INT8'
  | 'Q1_0';

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
