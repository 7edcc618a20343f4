import type { Tensor } from './tensor';

/** How the rows of quantized weights are stored. */
export interface BlockForm {
  /** The type's number in ggml. */
  readonly type: number;
  /** Values of a row. */
  readonly width: number;
}

/** Some rows of a quantized matrix, all of one type. */
export interface BlockRows extends BlockForm {
  readonly blocks: Tensor; // [rows, words], i32
}
