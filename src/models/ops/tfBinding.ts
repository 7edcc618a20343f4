import type { ElementType } from './tensor';

/** The native addon of tfjs-node: `tf.backend().binding`. Tensors are ids, counted upwards. */
export interface TfBinding {
  createTensor(
    shape: readonly number[],
    dtype: number,
    data: Float32Array | Int32Array | Uint8Array,
  ): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array;
  /** Runs one operation eagerly and returns its outputs. */
  executeOp(
    op: string,
    attrs: readonly TfAttr[],
    inputs: readonly number[],
    outputs: number,
  ): { readonly id: number; readonly shape: number[] }[];
  isUsingGpuDevice(): boolean;
}

/** An attribute of an operation, with its TF_AttrType. */
export interface TfAttr {
  readonly name: string;
  readonly type: number;
  readonly value: number | boolean;
}

/** TensorFlow's DataType (types.proto). */
export const TF_TYPE = {
  float: 1,
  double: 2,
  int32: 3,
  uint8: 4,
  complex64: 8,
  bool: 10,
  bfloat16: 14,
} as const;

/** The DataType of each element type of the models. */
export const TF_TYPE_OF: Readonly<Record<ElementType, number>> = {
  f32: TF_TYPE.float,
  i32: TF_TYPE.int32,
  bf16: TF_TYPE.bfloat16,
};

/** TF_AttrType (tf_attrtype.h). */
const ATTR = { int: 1, float: 2, bool: 3, type: 4 } as const;

export const typeAttr = (name: string, value: number): TfAttr => ({
  name,
  type: ATTR.type,
  value,
});
export const boolAttr = (name: string, value: boolean): TfAttr => ({
  name,
  type: ATTR.bool,
  value,
});
export const intAttr = (name: string, value: number): TfAttr => ({ name, type: ATTR.int, value });
export const floatAttr = (name: string, value: number): TfAttr => ({
  name,
  type: ATTR.float,
  value,
});
