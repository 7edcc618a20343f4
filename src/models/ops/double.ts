import type { TfBinding } from './raw';

/** Values of TensorFlow's DataType (types.proto) and TF_AttrType (tf_attrtype.h). */
const [FLOAT, DOUBLE, INT32] = [1, 2, 3];
const ATTR = { bool: 3, type: 4 } as const;
const T = { name: 'T', type: ATTR.type, value: DOUBLE };
const flag = (name: string, value: boolean) => ({ name, type: ATTR.bool, value });

/** Linear algebra in f64 on libtensorflow, on handles that end with `use`. */
export class Doubles {
  private readonly handles: number[] = [];

  private constructor(private readonly binding: TfBinding) {}

  static use<R>(binding: TfBinding, compute: (doubles: Doubles) => R): R {
    const doubles = new Doubles(binding);
    try {
      return compute(doubles);
    } finally {
      for (const handle of doubles.handles) binding.deleteTensor(handle);
    }
  }

  upload(data: Float32Array, shape: readonly number[]): number {
    const single = this.binding.createTensor(shape, FLOAT, data);
    this.handles.push(single);
    return this.cast(single, FLOAT, DOUBLE);
  }

  download(x: number): Float32Array {
    return this.binding.tensorDataSync(this.cast(x, DOUBLE, FLOAT)) as Float32Array;
  }

  matMul(a: number, b: number, transposeA = false, transposeB = false): number {
    return this.run(
      'MatMul',
      [T, flag('transpose_a', transposeA), flag('transpose_b', transposeB)],
      [a, b],
    )[0]!;
  }

  add(a: number, b: number): number {
    return this.run('AddV2', [T], [a, b])[0]!;
  }

  /** x = U S Vᵀ, thin: U [rows, k], V [columns, k]. */
  svd(x: number): { readonly S: number; readonly U: number; readonly V: number } {
    const [S, U, V] = this.run(
      'Svd',
      [T, flag('compute_uv', true), flag('full_matrices', false)],
      [x],
      3,
    ) as [number, number, number];
    return { S, U, V };
  }

  /** The largest size of each row's numbers. */
  largestOfRows(x: number): number {
    const axis = this.binding.createTensor([1], INT32, Int32Array.of(1));
    this.handles.push(axis);
    const [sizes] = this.run('Abs', [T], [x]) as [number];
    return this.run(
      'Max',
      [T, { name: 'Tidx', type: ATTR.type, value: INT32 }, flag('keep_dims', false)],
      [sizes, axis],
    )[0]!;
  }

  private cast(x: number, from: number, to: number): number {
    return this.run(
      'Cast',
      [
        { name: 'SrcT', type: ATTR.type, value: from },
        { name: 'DstT', type: ATTR.type, value: to },
        { name: 'Truncate', type: ATTR.bool, value: false },
      ],
      [x],
    )[0]!;
  }

  private run(
    op: string,
    attrs: readonly {
      readonly name: string;
      readonly type: number;
      readonly value: number | boolean;
    }[],
    inputs: readonly number[],
    outputs = 1,
  ): number[] {
    const results = this.binding.executeOp(op, attrs, inputs, outputs).map(({ id }) => id);
    this.handles.push(...results);
    return results;
  }
}
