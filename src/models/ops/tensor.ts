export type Shape = readonly number[];

/** bf16 is the upper half of an f32. Used for weights and products, if the backend supports it. */
export type Precision = 'f32' | 'bf16';
export type ElementType = Precision | 'i32';

/** A tensor of a backend. Whoever holds it frees it: there are no tapes or scopes. */
export interface Tensor {
  readonly shape: Shape;
  readonly dtype: ElementType;
  /** Private to the backend: an id of libtensorflow or a tfjs tensor. */
  readonly handle: unknown;
}
