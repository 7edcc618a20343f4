import type { Tensor } from './tensor';

/** The numbers of ggml's types for numbers. */
const GGML_TYPE = { f32: 0, bf16: 30 } as const;

/** The weights of a model, and a description of it for the fused kernel that reads them. */
export class StepForm {
  readonly numbers: number[] = [];
  readonly f32: Tensor[] = [];
  readonly bf16: Tensor[] = [];
  readonly blocks: Tensor[] = [];

  add(...numbers: readonly number[]): void {
    this.numbers.push(...numbers);
  }

  /** Numbers of f32, as their bits. */
  addReals(values: readonly number[]): void {
    this.add(...new Int32Array(Float32Array.from(values).buffer));
  }

  /** The place of a tensor of f32. */
  addNumbers(tensor: Tensor): void {
    this.add(this.f32.push(tensor) - 1);
  }

  /** The type and the place of a matrix of f32 or bf16. */
  addMatrix(tensor: Tensor): void {
    if (tensor.dtype === 'bf16') this.add(GGML_TYPE.bf16, this.bf16.push(tensor) - 1);
    else this.add(GGML_TYPE.f32, this.f32.push(tensor) - 1);
  }

  /** The type and the place of rows of blocks. */
  addBlocks(tensor: Tensor, type: number): void {
    this.add(type, this.blocks.push(tensor) - 1);
  }
}
