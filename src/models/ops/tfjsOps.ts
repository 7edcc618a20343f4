import type * as tfjs from '@tensorflow/tfjs';
import { createRandom } from '../../shared/random';
import {
  elementCount,
  LONG_ROWS,
  yieldToEventLoop,
  type Ops,
  type Shape,
  type Tensor,
} from './ops';

const unwrap = (x: Tensor): tfjs.Tensor => x.handle as tfjs.Tensor;

/** `Ops` on tfjs tensors, for any backend of tfjs: wasm without libtensorflow, cpu for checks. */
export class TfjsOps implements Ops {
  readonly name: string;
  readonly supportsBF16 = false;
  readonly fused = null;
  readonly attentionBlocks = LONG_ROWS;
  yieldPoint = yieldToEventLoop;
  /** Each tensor and when it was made. */
  private readonly alive = new Map<tfjs.Tensor, number>();
  private newest = 0;

  constructor(private readonly tf: typeof tfjs) {
    this.name = `tfjs (${tf.getBackend()})`;
  }

  live(): number {
    return this.alive.size;
  }

  mark(): number {
    return this.newest;
  }

  freeSince(mark: number): void {
    for (const [handle, number] of this.alive) {
      if (number <= mark) continue;
      handle.dispose();
      this.alive.delete(handle);
    }
  }

  allocateHostF32(elements: number): Float32Array {
    return new Float32Array(elements);
  }

  allocateHostBF16(): Uint16Array {
    return refuseBF16();
  }

  allocateHostI32(elements: number): Int32Array {
    return new Int32Array(elements);
  }

  upload(data: Float32Array | Int32Array | Uint16Array, shape: Shape): Tensor {
    if (data instanceof Uint16Array) return refuseBF16();
    const dtype = data instanceof Int32Array ? 'int32' : 'float32';
    return this.wrap(this.tf.tensor(data, [...shape], dtype));
  }

  cast(x: Tensor, dtype: 'f32' | 'bf16'): Tensor {
    return dtype === 'f32' ? this.wrap(unwrap(x).clone()) : refuseBF16();
  }

  async download(x: Tensor): Promise<Float32Array> {
    return (await unwrap(x).data()) as Float32Array;
  }

  free(...tensors: readonly Tensor[]): void {
    for (const x of tensors) {
      if (unwrap(x).isDisposed) throw new Error('A tensor was freed twice.');
      unwrap(x).dispose();
      this.alive.delete(unwrap(x));
    }
  }

  /** Transposes first: WebAssembly's fast product is that of two matrices as they are. */
  matMul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
    return this.make((tf) => {
      const [x, y] = [unwrap(a), unwrap(b)];
      return tf.matMul(transposeA ? tf.transpose(x) : x, transposeB ? tf.transpose(y) : y);
    });
  }

  batchMatMul(a: Tensor, b: Tensor, transposeA = false, transposeB = false): Tensor {
    return this.make((tf) => tf.matMul(unwrap(a), unwrap(b), transposeA, transposeB));
  }

  add(a: Tensor, b: Tensor): Tensor {
    return this.make((tf) => tf.add(unwrap(a), unwrap(b)));
  }

  sub(a: Tensor, b: Tensor): Tensor {
    return this.make((tf) => tf.sub(unwrap(a), unwrap(b)));
  }

  mul(a: Tensor, b: Tensor): Tensor {
    return this.make((tf) => tf.mul(unwrap(a), unwrap(b)));
  }

  div(a: Tensor, b: Tensor): Tensor {
    return this.make((tf) => tf.div(unwrap(a), unwrap(b)));
  }

  addN(terms: readonly Tensor[]): Tensor {
    return this.make((tf) => tf.addN(terms.map(unwrap)));
  }

  scale(x: Tensor, factor: number): Tensor {
    return this.make((tf) => tf.mul(unwrap(x), factor));
  }

  tanh(x: Tensor): Tensor {
    return this.make((tf) => tf.tanh(unwrap(x)));
  }

  erf(x: Tensor): Tensor {
    return this.make((tf) => tf.erf(unwrap(x)));
  }

  exp(x: Tensor): Tensor {
    return this.make((tf) => tf.exp(unwrap(x)));
  }

  softplus(x: Tensor): Tensor {
    return this.make((tf) => tf.softplus(unwrap(x)));
  }

  sqrt(x: Tensor): Tensor {
    return this.make((tf) => tf.sqrt(unwrap(x)));
  }

  relu(x: Tensor): Tensor {
    return this.make((tf) => tf.relu(unwrap(x)));
  }

  positive(x: Tensor): Tensor {
    return this.make((tf) => tf.cast(tf.greater(unwrap(x), 0), 'float32'));
  }

  sigmoid(x: Tensor): Tensor {
    return this.make((tf) => tf.sigmoid(unwrap(x)));
  }

  sigmoidGrad(y: Tensor, dy: Tensor): Tensor {
    return this.make((tf) => tf.mul(tf.mul(unwrap(dy), unwrap(y)), tf.sub(1, unwrap(y))));
  }

  softmax(x: Tensor): Tensor {
    return this.make((tf) => tf.softmax(unwrap(x)));
  }

  sum(x: Tensor): Tensor {
    return this.make((tf) => tf.sum(unwrap(x), -1, true));
  }

  max(x: Tensor): Tensor {
    return this.make((tf) => tf.max(unwrap(x), -1, true));
  }

  rms(x: Tensor, eps: number): Tensor {
    return this.make((tf) => tf.rsqrt(tf.add(tf.mean(tf.square(unwrap(x)), -1, true), eps)));
  }

  reshape(x: Tensor, shape: Shape): Tensor {
    return this.make((tf) => tf.reshape(unwrap(x), [...shape]));
  }

  transpose(x: Tensor, perm: readonly number[]): Tensor {
    return this.make((tf) => tf.transpose(unwrap(x), [...perm]));
  }

  concat(parts: readonly Tensor[], axis: number): Tensor {
    return this.make((tf) => tf.concat(parts.map(unwrap), axis));
  }

  split(x: Tensor, sizes: readonly number[], axis: number): Tensor[] {
    return this.tf.split(unwrap(x), [...sizes], axis).map((part) => this.wrap(part));
  }

  slice(x: Tensor, begin: readonly number[], size: readonly number[]): Tensor {
    return this.make((tf) => tf.slice(unwrap(x), [...begin], [...size]));
  }

  pad(x: Tensor, axis: number, before: number, after: number): Tensor {
    const paddings = x.shape.map((_, i): [number, number] =>
      i === axis ? [before, after] : [0, 0],
    );
    return this.make((tf) => tf.pad(unwrap(x), paddings));
  }

  gather(x: Tensor, indices: Tensor): Tensor {
    return this.make((tf) => tf.gather(unwrap(x), unwrap(indices)));
  }

  gatherElements(x: Tensor, places: Tensor): Tensor {
    return this.make((tf) => tf.gatherND(unwrap(x), unwrap(places)));
  }

  scatter(x: Tensor, places: Tensor, values: Tensor): Tensor {
    return this.make((tf) => {
      // the CPU backend writes into its input
      const copy = tf.add(unwrap(x), 0);
      return tf.tensorScatterUpdate(copy, unwrap(places), unwrap(values));
    });
  }

  /** (a + ib)(c + is) = (ac - bs) + i(as + bc) on neighbouring pairs. */
  rotate(x: Tensor, table: Tensor): Tensor {
    return this.make((tf) => {
      const half = unwrap(table).size / 2;
      const pairs = tf.reshape(unwrap(x), [-1, half, 2]);
      const factors = tf.reshape(unwrap(table), [half, 2]);
      const [a, b] = tf.unstack(pairs, -1) as [tfjs.Tensor, tfjs.Tensor];
      const [c, s] = tf.unstack(factors, -1) as [tfjs.Tensor, tfjs.Tensor];
      const real = tf.sub(tf.mul(a, c), tf.mul(b, s));
      const imaginary = tf.add(tf.mul(a, s), tf.mul(b, c));
      return tf.reshape(tf.stack([real, imaginary], -1), [...x.shape]);
    });
  }

  dropoutMask(shape: Shape, rate: number, seed: number): Tensor {
    const random = createRandom(seed, 'dropout');
    const mask = new Float32Array(elementCount(shape));
    for (let i = 0; i < mask.length; i++) mask[i] = random() < rate ? 0 : 1 / (1 - rate);
    return this.wrap(this.tf.tensor(mask, [...shape]));
  }

  private wrap(handle: tfjs.Tensor): Tensor {
    this.alive.set(handle, ++this.newest);
    return { handle, shape: handle.shape, dtype: handle.dtype === 'int32' ? 'i32' : 'f32' };
  }

  /** Wraps the result and frees all other tensors that `compute` makes. */
  private make(compute: (tf: typeof tfjs) => tfjs.Tensor): Tensor {
    return this.wrap(this.tf.tidy(() => compute(this.tf)));
  }
}

function refuseBF16(): never {
  throw new TypeError('tfjs does not support bf16.');
}
