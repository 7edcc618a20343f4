import { boolAttr, TF_TYPE, typeAttr, type TfAttr, type TfBinding } from './tfBinding';

const T = typeAttr('T', TF_TYPE.double);

/** Linear algebra in f64 on libtensorflow. Tensors are the binding's ids. */
export class Float64Ops {
  private readonly handles: number[] = [];

  private constructor(private readonly binding: TfBinding) {}

  /** Calls `compute` and frees every tensor that it has made. */
  static scoped<R>(binding: TfBinding, compute: (ops: Float64Ops) => R): R {
    const ops = new Float64Ops(binding);
    try {
      return compute(ops);
    } finally {
      for (const handle of ops.handles) binding.deleteTensor(handle);
    }
  }

  /** Converts f32 to f64. */
  upload(data: Float32Array, shape: readonly number[]): number {
    const single = this.binding.createTensor(shape, TF_TYPE.float, data);
    this.handles.push(single);
    return this.cast(single, TF_TYPE.float, TF_TYPE.double);
  }

  /** Rounds f64 to f32. */
  download(x: number): Float32Array {
    const single = this.cast(x, TF_TYPE.double, TF_TYPE.float);
    return this.binding.tensorDataSync(single) as Float32Array;
  }

  /** [m, k] x [k, n] -> [m, n]; either operand may be read as its transpose. */
  matMul(a: number, b: number, transposeA = false, transposeB = false): number {
    const attrs = [T, boolAttr('transpose_a', transposeA), boolAttr('transpose_b', transposeB)];
    return this.run('MatMul', attrs, [a, b])[0]!;
  }

  add(a: number, b: number): number {
    return this.run('AddV2', [T], [a, b])[0]!;
  }

  /** Thin singular value decomposition x = U S Vᵀ: U [rows, k], V [columns, k]. */
  svd(x: number): { readonly S: number; readonly U: number; readonly V: number } {
    const attrs = [T, boolAttr('compute_uv', true), boolAttr('full_matrices', false)];
    const [S, U, V] = this.run('Svd', attrs, [x], 3) as [number, number, number];
    return { S, U, V };
  }

  /** The largest absolute value of each row of x [n, m] -> [n]. */
  maxAbsOfRows(x: number): number {
    const axis = this.binding.createTensor([1], TF_TYPE.int32, Int32Array.of(1));
    this.handles.push(axis);
    const [magnitudes] = this.run('Abs', [T], [x]) as [number];
    const attrs = [T, typeAttr('Tidx', TF_TYPE.int32), boolAttr('keep_dims', false)];
    return this.run('Max', attrs, [magnitudes, axis])[0]!;
  }

  private cast(x: number, from: number, to: number): number {
    const attrs = [typeAttr('SrcT', from), typeAttr('DstT', to), boolAttr('Truncate', false)];
    return this.run('Cast', attrs, [x])[0]!;
  }

  private run(
    op: string,
    attrs: readonly TfAttr[],
    inputs: readonly number[],
    outputs = 1,
  ): number[] {
    const results = this.binding.executeOp(op, attrs, inputs, outputs).map(({ id }) => id);
    this.handles.push(...results);
    return results;
  }
}
