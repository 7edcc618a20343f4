export type Shape = readonly number[];

/** bf16: the upper half of an f32, for weights and products, where the backing has it. */
export type Precision = 'f32' | 'bf16';
export type ElementType = Precision | 'i32';

/** A tensor that its backing owns; freed explicitly, never by a tape or a scope. */
export interface Tensor {
  readonly shape: Shape;
  readonly dtype: ElementType;
  /** The backing's own: an id of libtensorflow or a tfjs tensor. */
  readonly handle: unknown;
}
