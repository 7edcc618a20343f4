import { breathe } from '../breathe';
import { Arena } from './arena';
import { fusedOps, type FusedAttr, type FusedOps } from './fused';
import {
  sizeOf,
  widened,
  type DType,
  type Ops,
  type Precision,
  type Shape,
  type Tensor,
} from './ops';

/** What tfjs-node's native addon offers: `tf.backend().binding`. */
export interface TfBinding {
  createTensor(shape: readonly number[], dtype: number, data: Float32Array | Int32Array): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array;
  executeOp(
    op: string,
    attrs: readonly Attr[],
    inputs: readonly number[],
    outputs: number,
  ): { readonly id: number; readonly shape: number[] }[];
  isUsingGpuDevice(): boolean;
}

interface Attr {
  readonly name: string;
  readonly type: number;
  readonly value: number | boolean;
}

/** TensorFlow's enums: DataType in types.proto, TF_AttrType in tf_attrtype.h. */
const FLOAT = 1;
const INT32 = 3;
const COMPLEX64 = 8;
const BOOL = 10;
const BFLOAT16 = 14;
const CODES: Readonly<Record<DType, number>> = { f32: FLOAT, i32: INT32, bf16: BFLOAT16 };
const ATTR = { int: 1, float: 2, bool: 3, type: 4 } as const;

const type = (name: string, value: number): Attr => ({ name, type: ATTR.type, value });
const bool = (name: string, value: boolean): Attr => ({ name, type: ATTR.bool, value });
const int = (name: string, value: number): Attr => ({ name, type: ATTR.int, value });

const T = type('T', FLOAT);
const T_OF: Readonly<Record<DType, Attr>> = {
  f32: T,
  i32: type('T', INT32),
  bf16: type('T', BFLOAT16),
};
const ELEMENTWISE = [T];
const REDUCE = [T, type('Tidx', INT32), bool('keep_dims', true)];
const RESHAPE = type('Tshape', INT32);
const TRANSPOSE = type('Tperm', INT32);
const SLICE = type('Index', INT32);
const PAD = type('Tpaddings', INT32);
const GATHER = [type('Tindices', INT32), type('Taxis', INT32), int('batch_dims', 0)];
const GATHER_ND = [type('Tparams', FLOAT), type('Tindices', INT32)];
const castFrom = (from: number, to: number) => [
  type('SrcT', from),
  type('DstT', to),
  bool('Truncate', false),
];
const WIDEN = castFrom(BFLOAT16, FLOAT);
const ROUND = castFrom(FLOAT, BFLOAT16);
const TO_COMPLEX = [T, type('type', COMPLEX64)];
const TO_HALF = [type('T', INT32), type('type', BFLOAT16)];
const TO_FLOAT = [type('T', COMPLEX64), type('type', FLOAT)];
const BOOL_TO_FLOAT = castFrom(BOOL, FLOAT);
const UNIFORM = [type('dtype', FLOAT), type('T', INT32), type('Tseed', INT32)];

function attrOf([name, value]: FusedAttr): Attr {
  if (typeof value === 'string') return type(name, CODES[value]);
  return 'int' in value ? int(name, value.int) : { name, type: ATTR.float, value: value.float };
}

interface RawTensor extends Tensor {
  readonly handle: number;
}

/** The table of operations on raw handles of libtensorflow: no tfjs tensors, no tape, no scopes. */
export class RawOps implements Ops {
  readonly name: string;
  readonly hasHalf = true;
  readonly fused: FusedOps | null;
  between = breathe;
  private readonly alive = new Set<number>();
  private last = 0;
  private readonly arena = new Arena();

  /** `fuse`: use the binding's own kernels, which are for the CPU, where it has them. */
  constructor(
    private readonly binding: TfBinding,
    { fuse = true } = {},
  ) {
    this.name = `libtensorflow on ${binding.isUsingGpuDevice() ? 'GPU' : 'CPU'}`;
    this.fused = fuse && !binding.isUsingGpuDevice() ? this.kernels() : null;
  }

  /** Null where the binding was compiled without them. */
  private kernels(): FusedOps | null {
    const nothing: Tensor = {
      handle: this.binding.createTensor([0], FLOAT, new Float32Array(0)),
      shape: [0],
      dtype: 'f32',
    };
    const fused = fusedOps(
      (op, attrs, inputs, outputs) => this.runAll(op, attrs.map(attrOf), inputs, outputs),
      nothing,
      (x) => this.free(x),
    );
    try {
      this.free(fused.sum([nothing, nothing], 'f32'));
      return fused;
    } catch {
      this.binding.deleteTensor((nothing as RawTensor).handle);
      return null;
    }
  }

  live(): number {
    return this.alive.size;
  }

  mark(): number {
    return this.last;
  }

  freeSince(mark: number): void {
    for (const id of this.alive) if (id > mark) this.release(id);
  }

  room(elements: number): Float32Array {
    return new Float32Array(
      ...this.arena.take(elements * Float32Array.BYTES_PER_ELEMENT),
      elements,
    );
  }

  roomHalf(elements: number): Uint16Array {
    return new Uint16Array(...this.arena.take(elements * Uint16Array.BYTES_PER_ELEMENT), elements);
  }

  upload(data: Float32Array | Int32Array | Uint16Array, shape: Shape): Tensor {
    if (data instanceof Uint16Array) return this.uploadHalf(data, shape);
    const isInt = data instanceof Int32Array;
    const handle = this.keep(this.binding.createTensor(shape, isInt ? INT32 : FLOAT, data));
    return { handle, shape, dtype: isInt ? 'i32' : 'f32' };
  }

  download(x: Tensor): Promise<Float32Array> {
    if (x.dtype !== 'bf16')
      return Promise.resolve(this.binding.tensorDataSync((x as RawTensor).handle) as Float32Array);
    const wide = this.cast(x, 'f32');
    return this.download(wide).finally(() => this.free(wide));
  }

  free(...dead: readonly Tensor[]): void {
    for (const x of dead) this.release((x as RawTensor).handle);
  }

  cast(x: Tensor, dtype: Precision): Tensor {
    if (x.dtype === dtype) return this.reshape(x, x.shape);
    return this.fused
      ? this.fused.convert(x, dtype)
      : this.run('Cast', dtype === 'f32' ? WIDEN : ROUND, dtype, x);
  }

  matMul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
    return this.run(
      'MatMul',
      [T_OF[a.dtype], bool('transpose_a', transposeA), bool('transpose_b', transposeB)],
      a.dtype,
      a,
      b,
    );
  }

  batchMatMul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
    return this.run(
      'BatchMatMulV2',
      [T_OF[a.dtype], bool('adj_x', transposeA), bool('adj_y', transposeB)],
      a.dtype,
      a,
      b,
    );
  }

  add(a: Tensor, b: Tensor): Tensor {
    return this.elementwise('AddV2', ELEMENTWISE, a, b);
  }

  sub(a: Tensor, b: Tensor): Tensor {
    return this.elementwise('Sub', ELEMENTWISE, a, b);
  }

  mul(a: Tensor, b: Tensor): Tensor {
    return this.elementwise('Mul', ELEMENTWISE, a, b);
  }

  div(a: Tensor, b: Tensor): Tensor {
    return this.elementwise('RealDiv', ELEMENTWISE, a, b);
  }

  addN(parts: readonly Tensor[]): Tensor {
    return this.elementwise('AddN', [T, int('N', parts.length)], ...parts);
  }

  scale(x: Tensor, factor: number): Tensor {
    return this.with(Float32Array.of(factor), [], (f) => this.mul(x, f));
  }

  tanh(x: Tensor): Tensor {
    return this.elementwise('Tanh', ELEMENTWISE, x);
  }

  erf(x: Tensor): Tensor {
    return this.elementwise('Erf', ELEMENTWISE, x);
  }

  exp(x: Tensor): Tensor {
    return this.elementwise('Exp', ELEMENTWISE, x);
  }

  sqrt(x: Tensor): Tensor {
    return this.elementwise('Sqrt', ELEMENTWISE, x);
  }

  relu(x: Tensor): Tensor {
    return this.elementwise('Relu', ELEMENTWISE, x);
  }

  positive(x: Tensor): Tensor {
    const above = this.with(Float32Array.of(0), [], (zero) =>
      this.elementwise('Greater', ELEMENTWISE, x, zero),
    );
    return this.replace(above, this.run('Cast', BOOL_TO_FLOAT, 'f32', above));
  }

  sigmoid(x: Tensor): Tensor {
    return this.elementwise('Sigmoid', ELEMENTWISE, x);
  }

  sigmoidGrad(y: Tensor, dy: Tensor): Tensor {
    return this.elementwise('SigmoidGrad', ELEMENTWISE, y, dy);
  }

  softmax(x: Tensor): Tensor {
    return this.elementwise('Softmax', ELEMENTWISE, x);
  }

  sum(x: Tensor): Tensor {
    return this.reduce('Sum', x);
  }

  max(x: Tensor): Tensor {
    return this.reduce('Max', x);
  }

  rms(x: Tensor, eps: number): Tensor {
    const square = this.elementwise('Square', ELEMENTWISE, x);
    const mean = this.replace(square, this.reduce('Mean', square));
    const shifted = this.replace(
      mean,
      this.with(Float32Array.of(eps), [], (e) => this.add(mean, e)),
    );
    return this.replace(shifted, this.elementwise('Rsqrt', ELEMENTWISE, shifted));
  }

  reshape(x: Tensor, shape: Shape): Tensor {
    return this.withInts(shape, (to) =>
      this.run('Reshape', [T_OF[x.dtype], RESHAPE], x.dtype, x, to),
    );
  }

  transpose(x: Tensor, perm: readonly number[]): Tensor {
    return this.withInts(perm, (by) =>
      this.run('Transpose', [T_OF[x.dtype], TRANSPOSE], x.dtype, x, by),
    );
  }

  concat(parts: readonly Tensor[], axis: number): Tensor {
    return this.with(Int32Array.of(axis), [], (at) =>
      this.run(
        'ConcatV2',
        [T_OF[parts[0]!.dtype], int('N', parts.length), type('Tidx', INT32)],
        parts[0]!.dtype,
        ...parts,
        at,
      ),
    );
  }

  split(x: Tensor, sizes: readonly number[], axis: number): Tensor[] {
    const attrs = [T_OF[x.dtype], type('Tlen', INT32), int('num_split', sizes.length)];
    const [lengths, at] = [
      this.upload(Int32Array.from(sizes), [sizes.length]),
      this.upload(Int32Array.of(axis), []),
    ];
    const parts = this.runMany('SplitV', attrs, x.dtype, [x, lengths, at], sizes.length);
    this.free(lengths, at);
    return parts;
  }

  slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor {
    return this.withInts(begin, (from) =>
      this.withInts(size, (by) => this.run('Slice', [T_OF[x.dtype], SLICE], x.dtype, x, from, by)),
    );
  }

  pad(x: Tensor, axis: number, before: number, after: number): Tensor {
    const paddings = Int32Array.from(
      x.shape.flatMap((_, i) => (i === axis ? [before, after] : [0, 0])),
    );
    return this.with(paddings, [x.shape.length, 2], (by) =>
      this.run('Pad', [T_OF[x.dtype], PAD], x.dtype, x, by),
    );
  }

  gather(x: Tensor, indices: Tensor): Tensor {
    return this.with(Int32Array.of(0), [], (axis) =>
      this.run('GatherV2', [type('Tparams', CODES[x.dtype]), ...GATHER], x.dtype, x, indices, axis),
    );
  }

  pick(x: Tensor, places: Tensor): Tensor {
    return this.run('GatherNd', GATHER_ND, 'f32', x, places);
  }

  rotate(x: Tensor, table: Tensor): Tensor {
    const half = sizeOf(table.shape) / 2;
    const a = widened(this, x, (wide) =>
      this.asComplex(wide, [sizeOf(x.shape) / (2 * half), half, 2]),
    );
    const b = this.asComplex(table, [half, 2]);
    const product = this.run('Mul', [type('T', COMPLEX64)], 'f32', a, b);
    const pairs = this.replace(product, this.run('Bitcast', TO_FLOAT, 'f32', product));
    this.free(a, b);
    return this.replace(pairs, this.reshape(pairs, x.shape));
  }

  dropoutMask(shape: Shape, rate: number, seed: number): Tensor {
    const uniform = this.withInts([seed, 0], (key) =>
      this.withInts(shape, (size) => this.run('StatelessRandomUniform', UNIFORM, 'f32', size, key)),
    );
    const kept = this.replace(
      uniform,
      this.with(Float32Array.of(rate), [], (t) =>
        this.elementwise('GreaterEqual', ELEMENTWISE, uniform, t),
      ),
    );
    const ones = this.replace(kept, this.run('Cast', BOOL_TO_FLOAT, 'f32', kept));
    return this.replace(
      ones,
      this.with(Float32Array.of(1 / (1 - rate)), [], (factor) => this.mul(ones, factor)),
    );
  }

  private run(
    op: string,
    attrs: readonly Attr[],
    dtype: DType,
    ...inputs: readonly Tensor[]
  ): Tensor {
    return this.runMany(op, attrs, dtype, inputs, 1)[0]!;
  }

  private runMany(
    op: string,
    attrs: readonly Attr[],
    dtype: DType,
    inputs: readonly Tensor[],
    outputs: number,
  ): RawTensor[] {
    return this.runAll(op, attrs, inputs, Array<DType>(outputs).fill(dtype));
  }

  private runAll(
    op: string,
    attrs: readonly Attr[],
    inputs: readonly Tensor[],
    dtypes: readonly DType[],
  ): RawTensor[] {
    const results = this.binding.executeOp(
      op,
      attrs,
      inputs.map((x) => (x as RawTensor).handle),
      dtypes.length,
    );
    return results.map(({ id, shape }, i) => ({ handle: this.keep(id), shape, dtype: dtypes[i]! }));
  }

  /** The binding counts its tensors up. */
  private keep(id: number): number {
    this.alive.add(id);
    this.last = Math.max(this.last, id);
    return id;
  }

  private release(id: number): void {
    this.binding.deleteTensor(id);
    this.alive.delete(id);
  }

  /** In f32: what is bf16 is widened for as long. */
  private elementwise(op: string, attrs: readonly Attr[], ...inputs: readonly Tensor[]): Tensor {
    if (inputs.every((x) => x.dtype !== 'bf16')) return this.run(op, attrs, 'f32', ...inputs);
    const wide = inputs.map((x) => (x.dtype === 'bf16' ? this.cast(x, 'f32') : x));
    const result = this.run(op, attrs, 'f32', ...wide);
    this.free(...wide.filter((x, i) => x !== inputs[i]));
    return result;
  }

  private reduce(op: string, x: Tensor): Tensor {
    return this.withInts([x.shape.length - 1], (axes) => this.elementwise(op, REDUCE, x, axes));
  }

  /**
   * The binding creates no tensors of this type: pairs of them come in as whole numbers, which
   * share their memory.
   */
  private uploadHalf(bits: Uint16Array, shape: Shape): Tensor {
    const pairs = this.upload(new Int32Array(bits.buffer, bits.byteOffset, bits.length / 2), [
      bits.length / 2,
    ]);
    const halves = this.replace(pairs, this.run('Bitcast', TO_HALF, 'bf16', pairs)); // [n / 2, 2]
    return this.replace(halves, this.reshape(halves, shape));
  }

  private asComplex(x: Tensor, shape: Shape): Tensor {
    const pairs = this.reshape(x, shape);
    return this.replace(pairs, this.run('Bitcast', TO_COMPLEX, 'f32', pairs));
  }

  private withInts(values: readonly number[], compute: (vector: Tensor) => Tensor): Tensor {
    return this.with(Int32Array.from(values), [values.length], compute);
  }

  /** Computes with a small tensor that lives no longer than that. */
  private with(
    values: Int32Array | Float32Array,
    shape: Shape,
    compute: (small: Tensor) => Tensor,
  ): Tensor {
    const small = this.upload(values, shape);
    return this.replace(small, compute(small));
  }

  private replace(dead: Tensor, result: Tensor): Tensor {
    this.free(dead);
    return result;
  }
}
