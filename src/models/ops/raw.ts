import { Arena } from './arena';
import { sizeOf, type Ops, type Shape, type Tensor } from './types';

/** What tfjs-node's native addon offers: `tf.backend().binding`. */
export interface TfBinding {
  createTensor(shape: readonly number[], dtype: number, data: Float32Array | Int32Array): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): Float32Array | Int32Array | Uint8Array;
  executeOp(op: string, attrs: readonly Attr[], inputs: readonly number[], outputs: number): { readonly id: number; readonly shape: number[] }[];
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
const ATTR = { int: 1, float: 2, bool: 3, type: 4 } as const;

const type = (name: string, value: number): Attr => ({ name, type: ATTR.type, value });
const bool = (name: string, value: boolean): Attr => ({ name, type: ATTR.bool, value });
const int = (name: string, value: number): Attr => ({ name, type: ATTR.int, value });

const T = type('T', FLOAT);
const ELEMENTWISE = [T];
const REDUCE = [T, type('Tidx', INT32), bool('keep_dims', true)];
const RESHAPE = [T, type('Tshape', INT32)];
const TRANSPOSE = [T, type('Tperm', INT32)];
const SLICE = [T, type('Index', INT32)];
const PAD = [T, type('Tpaddings', INT32)];
const GATHER = [type('Tparams', FLOAT), type('Tindices', INT32), type('Taxis', INT32), int('batch_dims', 0)];
const GATHER_ND = [type('Tparams', FLOAT), type('Tindices', INT32)];
const TO_COMPLEX = [T, type('type', COMPLEX64)];
const TO_FLOAT = [type('T', COMPLEX64), type('type', FLOAT)];
const BOOL_TO_FLOAT = [type('SrcT', BOOL), type('DstT', FLOAT)];
const UNIFORM = [type('dtype', FLOAT), type('T', INT32), type('Tseed', INT32)];

interface RawTensor extends Tensor {
  readonly handle: number;
}

/** The table of operations on raw handles of libtensorflow: no tfjs tensors, no tape, no scopes. */
export class RawOps implements Ops {
  readonly name: string;
  private count = 0;
  private readonly arena = new Arena();

  constructor(private readonly binding: TfBinding) {
    this.name = `libtensorflow on ${binding.isUsingGpuDevice() ? 'GPU' : 'CPU'}`;
  }

  live(): number {
    return this.count;
  }

  room(elements: number): Float32Array {
    return this.arena.take(elements);
  }

  upload(data: Float32Array | Int32Array, shape: Shape): Tensor {
    const handle = this.binding.createTensor(shape, data instanceof Int32Array ? INT32 : FLOAT, data);
    this.count++;
    return { handle, shape };
  }

  download(x: Tensor): Promise<Float32Array> {
    return Promise.resolve(this.binding.tensorDataSync((x as RawTensor).handle) as Float32Array);
  }

  free(...dead: readonly Tensor[]): void {
    for (const x of dead) this.binding.deleteTensor((x as RawTensor).handle);
    this.count -= dead.length;
  }

  matMul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
    return this.run('MatMul', [T, bool('transpose_a', transposeA), bool('transpose_b', transposeB)], a, b);
  }

  batchMatMul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
    return this.run('BatchMatMulV2', [T, bool('adj_x', transposeA), bool('adj_y', transposeB)], a, b);
  }

  add(a: Tensor, b: Tensor): Tensor {
    return this.run('AddV2', ELEMENTWISE, a, b);
  }

  sub(a: Tensor, b: Tensor): Tensor {
    return this.run('Sub', ELEMENTWISE, a, b);
  }

  mul(a: Tensor, b: Tensor): Tensor {
    return this.run('Mul', ELEMENTWISE, a, b);
  }

  addN(parts: readonly Tensor[]): Tensor {
    return this.run('AddN', [T, int('N', parts.length)], ...parts);
  }

  scale(x: Tensor, factor: number): Tensor {
    return this.with(Float32Array.of(factor), [], (f) => this.mul(x, f));
  }

  tanh(x: Tensor): Tensor {
    return this.run('Tanh', ELEMENTWISE, x);
  }

  erf(x: Tensor): Tensor {
    return this.run('Erf', ELEMENTWISE, x);
  }

  exp(x: Tensor): Tensor {
    return this.run('Exp', ELEMENTWISE, x);
  }

  relu(x: Tensor): Tensor {
    return this.run('Relu', ELEMENTWISE, x);
  }

  positive(x: Tensor): Tensor {
    const above = this.with(Float32Array.of(0), [], (zero) => this.run('Greater', ELEMENTWISE, x, zero));
    return this.replace(above, this.run('Cast', BOOL_TO_FLOAT, above));
  }

  sigmoid(x: Tensor): Tensor {
    return this.run('Sigmoid', ELEMENTWISE, x);
  }

  sigmoidGrad(y: Tensor, dy: Tensor): Tensor {
    return this.run('SigmoidGrad', ELEMENTWISE, y, dy);
  }

  softmax(x: Tensor): Tensor {
    return this.run('Softmax', ELEMENTWISE, x);
  }

  sum(x: Tensor): Tensor {
    return this.reduce('Sum', x);
  }

  max(x: Tensor): Tensor {
    return this.reduce('Max', x);
  }

  rms(x: Tensor, eps: number): Tensor {
    const square = this.run('Square', ELEMENTWISE, x);
    const mean = this.replace(square, this.reduce('Mean', square));
    const shifted = this.replace(mean, this.with(Float32Array.of(eps), [], (e) => this.add(mean, e)));
    return this.replace(shifted, this.run('Rsqrt', ELEMENTWISE, shifted));
  }

  reshape(x: Tensor, shape: Shape): Tensor {
    return this.withInts(shape, (to) => this.run('Reshape', RESHAPE, x, to));
  }

  transpose(x: Tensor, perm: readonly number[]): Tensor {
    return this.withInts(perm, (by) => this.run('Transpose', TRANSPOSE, x, by));
  }

  concat(parts: readonly Tensor[], axis: number): Tensor {
    return this.with(Int32Array.of(axis), [], (at) => this.run('ConcatV2', [T, int('N', parts.length), type('Tidx', INT32)], ...parts, at));
  }

  split(x: Tensor, sizes: readonly number[], axis: number): Tensor[] {
    const attrs = [T, type('Tlen', INT32), int('num_split', sizes.length)];
    const [lengths, at] = [this.upload(Int32Array.from(sizes), [sizes.length]), this.upload(Int32Array.of(axis), [])];
    const parts = this.runMany('SplitV', attrs, [x, lengths, at], sizes.length);
    this.free(lengths, at);
    return parts;
  }

  slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor {
    return this.withInts(begin, (from) => this.withInts(size, (by) => this.run('Slice', SLICE, x, from, by)));
  }

  pad(x: Tensor, axis: number, before: number, after: number): Tensor {
    const paddings = Int32Array.from(x.shape.flatMap((_, i) => (i === axis ? [before, after] : [0, 0])));
    return this.with(paddings, [x.shape.length, 2], (by) => this.run('Pad', PAD, x, by));
  }

  gather(x: Tensor, indices: Tensor): Tensor {
    return this.with(Int32Array.of(0), [], (axis) => this.run('GatherV2', GATHER, x, indices, axis));
  }

  pick(x: Tensor, places: Tensor): Tensor {
    return this.run('GatherNd', GATHER_ND, x, places);
  }

  rotate(x: Tensor, table: Tensor): Tensor {
    const half = sizeOf(table.shape) / 2;
    const a = this.asComplex(x, [sizeOf(x.shape) / (2 * half), half, 2]);
    const b = this.asComplex(table, [half, 2]);
    const product = this.run('Mul', [type('T', COMPLEX64)], a, b);
    const pairs = this.replace(product, this.run('Bitcast', TO_FLOAT, product));
    this.free(a, b);
    return this.replace(pairs, this.reshape(pairs, x.shape));
  }

  dropoutMask(shape: Shape, rate: number, seed: number): Tensor {
    const uniform = this.withInts([seed, 0], (key) => this.withInts(shape, (size) => this.run('StatelessRandomUniform', UNIFORM, size, key)));
    const kept = this.replace(uniform, this.with(Float32Array.of(rate), [], (t) => this.run('GreaterEqual', ELEMENTWISE, uniform, t)));
    const ones = this.replace(kept, this.run('Cast', BOOL_TO_FLOAT, kept));
    return this.replace(ones, this.with(Float32Array.of(1 / (1 - rate)), [], (factor) => this.mul(ones, factor)));
  }

  private run(op: string, attrs: readonly Attr[], ...inputs: readonly Tensor[]): Tensor {
    return this.runMany(op, attrs, inputs, 1)[0]!;
  }

  private runMany(op: string, attrs: readonly Attr[], inputs: readonly Tensor[], outputs: number): RawTensor[] {
    const results = this.binding.executeOp(op, attrs, inputs.map((x) => (x as RawTensor).handle), outputs);
    this.count += results.length;
    return results.map((r) => ({ handle: r.id, shape: r.shape }));
  }

  private reduce(op: string, x: Tensor): Tensor {
    return this.withInts([x.shape.length - 1], (axes) => this.run(op, REDUCE, x, axes));
  }

  private asComplex(x: Tensor, shape: Shape): Tensor {
    const pairs = this.reshape(x, shape);
    return this.replace(pairs, this.run('Bitcast', TO_COMPLEX, pairs));
  }

  private withInts(values: readonly number[], compute: (vector: Tensor) => Tensor): Tensor {
    return this.with(Int32Array.from(values), [values.length], compute);
  }

  /** Computes with a small tensor that lives no longer than that. */
  private with(values: Int32Array | Float32Array, shape: Shape, compute: (small: Tensor) => Tensor): Tensor {
    const small = this.upload(values, shape);
    return this.replace(small, compute(small));
  }

  private replace(dead: Tensor, result: Tensor): Tensor {
    this.free(dead);
    return result;
  }
}
