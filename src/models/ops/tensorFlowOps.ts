import type { FusedOps } from './fusedOps';
import { KernelOps } from './kernelOps';
import {
  elementCount,
  LONG_ROWS,
  thenFree,
  withF32,
  yieldToEventLoop,
  type AttentionBlocks,
  type ElementType,
  type Ops,
  type Precision,
  type Shape,
  type Tensor,
} from './ops';
import {
  boolAttr,
  intAttr,
  TF_TYPE,
  TF_TYPE_OF,
  typeAttr,
  type TfAttr,
  type TfBinding,
} from './tfBinding';
import { TfHandles } from './tfHandles';

const T = typeAttr('T', TF_TYPE.float);
const T_OF: Readonly<Record<ElementType, TfAttr>> = {
  f32: T,
  i32: typeAttr('T', TF_TYPE.int32),
  bf16: typeAttr('T', TF_TYPE.bfloat16),
};
const ELEMENTWISE = [T];
const REDUCE = [T, typeAttr('Tidx', TF_TYPE.int32), boolAttr('keep_dims', true)];
const RESHAPE = typeAttr('Tshape', TF_TYPE.int32);
const TRANSPOSE = typeAttr('Tperm', TF_TYPE.int32);
const SLICE = typeAttr('Index', TF_TYPE.int32);
const PAD = typeAttr('Tpaddings', TF_TYPE.int32);
const CONCAT_AXIS = typeAttr('Tidx', TF_TYPE.int32);
const SPLIT_SIZES = typeAttr('Tlen', TF_TYPE.int32);
const TINDICES = typeAttr('Tindices', TF_TYPE.int32);
const GATHER = [TINDICES, typeAttr('Taxis', TF_TYPE.int32), intAttr('batch_dims', 0)];
const GATHER_ND = [typeAttr('Tparams', TF_TYPE.float), TINDICES];
const castAttrs = (from: number, to: number) => [
  typeAttr('SrcT', from),
  typeAttr('DstT', to),
  boolAttr('Truncate', false),
];
const BF16_TO_F32 = castAttrs(TF_TYPE.bfloat16, TF_TYPE.float);
const F32_TO_BF16 = castAttrs(TF_TYPE.float, TF_TYPE.bfloat16);
const BOOL_TO_F32 = castAttrs(TF_TYPE.bool, TF_TYPE.float);
const COMPLEX = typeAttr('T', TF_TYPE.complex64);
const F32_BITS_TO_COMPLEX = [T, typeAttr('type', TF_TYPE.complex64)];
const COMPLEX_BITS_TO_F32 = [COMPLEX, typeAttr('type', TF_TYPE.float)];
const I32_BITS_TO_BF16 = [T_OF.i32, typeAttr('type', TF_TYPE.bfloat16)];
const UNIFORM = [
  typeAttr('dtype', TF_TYPE.float),
  typeAttr('T', TF_TYPE.int32),
  typeAttr('Tseed', TF_TYPE.int32),
];

/** `Ops` on libtensorflow. */
export class TensorFlowOps implements Ops {
  readonly name: string;
  readonly supportsBF16 = true;
  readonly fused: FusedOps | null;
  readonly attentionBlocks: AttentionBlocks;
  yieldPoint = yieldToEventLoop;
  private readonly tf: TfHandles;
  private readonly isOnGpu: boolean;

  /** `fuse`: use the binding's own kernels, if it has them; they run on the CPU only. */
  constructor(binding: TfBinding, { fuse = true, attentionBlocks = LONG_ROWS } = {}) {
    this.attentionBlocks = attentionBlocks;
    this.tf = new TfHandles(binding);
    this.isOnGpu = binding.isUsingGpuDevice();
    this.name = `libtensorflow on ${this.isOnGpu ? 'GPU' : 'CPU'}`;
    this.fused = fuse && !this.isOnGpu ? KernelOps.load(this.tf) : null;
  }

  live(): number {
    return this.tf.count;
  }

  mark(): number {
    return this.tf.mark();
  }

  freeSince(mark: number): void {
    this.tf.freeSince(mark);
  }

  allocateHostF32(elements: number): Float32Array {
    return this.tf.allocateF32(elements);
  }

  allocateHostBF16(elements: number): Uint16Array {
    return this.tf.allocateBF16(elements);
  }

  allocateHostI32(elements: number): Int32Array {
    return this.tf.allocateI32(elements);
  }

  upload(data: Float32Array | Int32Array | Uint16Array, shape: Shape): Tensor {
    return data instanceof Uint16Array ? this.uploadBF16(data, shape) : this.tf.upload(data, shape);
  }

  download(x: Tensor): Promise<Float32Array> {
    if (x.dtype !== 'bf16') return Promise.resolve(this.tf.read(x));
    const wide = this.cast(x, 'f32');
    return this.download(wide).finally(() => this.free(wide));
  }

  free(...tensors: readonly Tensor[]): void {
    this.tf.free(...tensors);
  }

  cast(x: Tensor, dtype: Precision): Tensor {
    if (x.dtype === dtype) return this.reshape(x, x.shape);
    if (this.fused) return this.fused.convert(x, dtype);
    return this.tf.run('Cast', dtype === 'f32' ? BF16_TO_F32 : F32_TO_BF16, dtype, x);
  }

  matMul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
    const attrs = [boolAttr('transpose_a', transposeA), boolAttr('transpose_b', transposeB)];
    return this.tf.run('MatMul', [T_OF[a.dtype], ...attrs], a.dtype, a, b);
  }

  batchMatMul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
    const attrs = [boolAttr('adj_x', transposeA), boolAttr('adj_y', transposeB)];
    return this.tf.run('BatchMatMulV2', [T_OF[a.dtype], ...attrs], a.dtype, a, b);
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

  addN(terms: readonly Tensor[]): Tensor {
    return this.elementwise('AddN', [T, intAttr('N', terms.length)], ...terms);
  }

  scale(x: Tensor, factor: number): Tensor {
    return this.withScalar(factor, (f) => this.mul(x, f));
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

  softplus(x: Tensor): Tensor {
    return this.elementwise('Softplus', ELEMENTWISE, x);
  }

  sqrt(x: Tensor): Tensor {
    return this.elementwise('Sqrt', ELEMENTWISE, x);
  }

  relu(x: Tensor): Tensor {
    return this.elementwise('Relu', ELEMENTWISE, x);
  }

  positive(x: Tensor): Tensor {
    const isPositive = this.withScalar(0, (zero) =>
      this.elementwise('Greater', ELEMENTWISE, x, zero),
    );
    return thenFree(this, this.tf.run('Cast', BOOL_TO_F32, 'f32', isPositive), isPositive);
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
    const mean = thenFree(this, this.reduce('Mean', square), square);
    const shifted = this.withScalar(eps, (e) => this.add(mean, e));
    const r = this.elementwise('Rsqrt', ELEMENTWISE, shifted);
    return thenFree(this, r, mean, shifted);
  }

  reshape(x: Tensor, shape: Shape): Tensor {
    return this.withInts(shape, (to) =>
      this.tf.run('Reshape', [T_OF[x.dtype], RESHAPE], x.dtype, x, to),
    );
  }

  transpose(x: Tensor, perm: readonly number[]): Tensor {
    return this.withInts(perm, (by) =>
      this.tf.run('Transpose', [T_OF[x.dtype], TRANSPOSE], x.dtype, x, by),
    );
  }

  concat(parts: readonly Tensor[], axis: number): Tensor {
    const { dtype } = parts[0]!;
    const attrs = [T_OF[dtype], intAttr('N', parts.length), CONCAT_AXIS];
    return this.withSmall(Int32Array.of(axis), [], (at) =>
      this.tf.run('ConcatV2', attrs, dtype, ...parts, at),
    );
  }

  split(x: Tensor, sizes: readonly number[], axis: number): Tensor[] {
    const attrs = [T_OF[x.dtype], SPLIT_SIZES, intAttr('num_split', sizes.length)];
    const lengths = this.upload(Int32Array.from(sizes), [sizes.length]);
    const at = this.upload(Int32Array.of(axis), []);
    const dtypes = sizes.map(() => x.dtype);
    const parts = this.tf.runMany('SplitV', attrs, [x, lengths, at], dtypes);
    this.free(lengths, at);
    return parts;
  }

  slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor {
    const attrs = [T_OF[x.dtype], SLICE];
    return this.withInts(begin, (from) =>
      this.withInts(size, (by) => this.tf.run('Slice', attrs, x.dtype, x, from, by)),
    );
  }

  pad(x: Tensor, axis: number, before: number, after: number): Tensor {
    const paddings = Int32Array.from(
      x.shape.flatMap((_, i) => (i === axis ? [before, after] : [0, 0])),
    );
    return this.withSmall(paddings, [x.shape.length, 2], (by) =>
      this.tf.run('Pad', [T_OF[x.dtype], PAD], x.dtype, x, by),
    );
  }

  gather(x: Tensor, indices: Tensor): Tensor {
    const attrs = [typeAttr('Tparams', TF_TYPE_OF[x.dtype]), ...GATHER];
    return this.withSmall(Int32Array.of(0), [], (axis) =>
      this.tf.run('GatherV2', attrs, x.dtype, x, indices, axis),
    );
  }

  gatherElements(x: Tensor, places: Tensor): Tensor {
    return this.tf.run('GatherNd', GATHER_ND, 'f32', x, places);
  }

  scatter(x: Tensor, places: Tensor, values: Tensor): Tensor {
    if (x.dtype === 'bf16' && this.isOnGpu) return this.scatterWidened(x, places, values);
    const attrs = [T_OF[x.dtype], TINDICES];
    return this.tf.run('TensorScatterUpdate', attrs, x.dtype, x, places, values);
  }

  /** A GPU has no kernel for bf16: the whole tensor would be copied to the processor and back. */
  private scatterWidened(x: Tensor, places: Tensor, values: Tensor): Tensor {
    const [wide, wideValues] = [this.cast(x, 'f32'), this.cast(values, 'f32')];
    const updated = thenFree(this, this.scatter(wide, places, wideValues), wide, wideValues);
    return thenFree(this, this.cast(updated, 'bf16'), updated);
  }

  rotate(x: Tensor, table: Tensor): Tensor {
    const half = elementCount(table.shape) / 2;
    const rows = elementCount(x.shape) / (2 * half);
    const a = withF32(this, x, (wide) => this.asComplex(wide, [rows, half, 2]));
    const b = this.asComplex(table, [half, 2]);
    const product = thenFree(this, this.tf.run('Mul', [COMPLEX], 'f32', a, b), a, b);
    const pairs = this.tf.run('Bitcast', COMPLEX_BITS_TO_F32, 'f32', product);
    return thenFree(this, this.reshape(pairs, x.shape), product, pairs);
  }

  dropoutMask(shape: Shape, rate: number, seed: number): Tensor {
    const uniform = this.withInts([seed, 0], (key) =>
      this.withInts(shape, (size) =>
        this.tf.run('StatelessRandomUniform', UNIFORM, 'f32', size, key),
      ),
    );
    const isKept = this.withScalar(rate, (limit) =>
      this.elementwise('GreaterEqual', ELEMENTWISE, uniform, limit),
    );
    this.free(uniform);
    const ones = thenFree(this, this.tf.run('Cast', BOOL_TO_F32, 'f32', isKept), isKept);
    return thenFree(this, this.scale(ones, 1 / (1 - rate)), ones);
  }

  /** Computes in f32; inputs of bf16 are widened for the call. */
  private elementwise(op: string, attrs: readonly TfAttr[], ...inputs: readonly Tensor[]): Tensor {
    if (inputs.every((x) => x.dtype !== 'bf16')) return this.tf.run(op, attrs, 'f32', ...inputs);
    const wide = inputs.map((x) => (x.dtype === 'bf16' ? this.cast(x, 'f32') : x));
    const result = this.tf.run(op, attrs, 'f32', ...wide);
    this.free(...wide.filter((x, i) => x !== inputs[i]));
    return result;
  }

  private reduce(op: string, x: Tensor): Tensor {
    return this.withInts([x.shape.length - 1], (axes) => this.elementwise(op, REDUCE, x, axes));
  }

  /**
   * The binding cannot create bf16 tensors, so pairs are uploaded as i32, whose bits are the same.
   */
  private uploadBF16(bits: Uint16Array, shape: Shape): Tensor {
    const pairs = bits.length / 2;
    const words = this.tf.upload(new Int32Array(bits.buffer, bits.byteOffset, pairs), [pairs]);
    const halves = this.tf.run('Bitcast', I32_BITS_TO_BF16, 'bf16', words); // [pairs, 2]
    return thenFree(this, this.reshape(halves, shape), words, halves);
  }

  private asComplex(x: Tensor, shape: Shape): Tensor {
    const pairs = this.reshape(x, shape);
    return thenFree(this, this.tf.run('Bitcast', F32_BITS_TO_COMPLEX, 'f32', pairs), pairs);
  }

  private withInts(values: readonly number[], compute: (vector: Tensor) => Tensor): Tensor {
    return this.withSmall(Int32Array.from(values), [values.length], compute);
  }

  private withScalar(value: number, compute: (scalar: Tensor) => Tensor): Tensor {
    return this.withSmall(Float32Array.of(value), [], compute);
  }

  /** Calls `compute` with a small tensor, and frees that. */
  private withSmall(
    values: Int32Array | Float32Array,
    shape: Shape,
    compute: (small: Tensor) => Tensor,
  ): Tensor {
    const small = this.upload(values, shape);
    return thenFree(this, compute(small), small);
  }
}
