import type * as tfjs from '@tensorflow/tfjs';
import { createRandom } from '../../shared/random';
import { elementCount, yieldToEventLoop, type Ops, type Tensor } from './ops';

interface TfjsTensor extends Tensor {
  readonly handle: tfjs.Tensor;
}

/**
 * The table of operations on tfjs tensors, for any backend of tfjs: wasm where there is no
 * libtensorflow, cpu for checks.
 */
export function tfjsOps(tf: typeof tfjs): Ops {
  const alive = new Map<tfjs.Tensor, number>();
  let last = 0;
  const t = (x: Tensor) => (x as TfjsTensor).handle;

  function wrap(handle: tfjs.Tensor): Tensor {
    alive.set(handle, ++last);
    return { handle, shape: handle.shape, dtype: handle.dtype === 'int32' ? 'i32' : 'f32' };
  }
  const make = (compute: () => tfjs.Tensor) => wrap(tf.tidy(compute));

  return {
    name: `tfjs (${tf.getBackend()})`,
    live: () => alive.size,
    mark: () => last,
    freeSince(mark) {
      for (const [handle, number] of alive) {
        if (number <= mark) continue;
        handle.dispose();
        alive.delete(handle);
      }
    },
    yieldPoint: yieldToEventLoop,
    supportsBF16: false,
    fused: null,
    allocateHostF32: (elements) => new Float32Array(elements),
    allocateHostBF16: refuseHalf,
    upload(data, shape) {
      if (data instanceof Uint16Array) return refuseHalf();
      return wrap(tf.tensor(data, [...shape], data instanceof Int32Array ? 'int32' : 'float32'));
    },
    cast: (x, dtype) => (dtype === 'f32' ? wrap(t(x).clone()) : refuseHalf()),
    download: async (x) => (await t(x).data()) as Float32Array,
    free(...dead) {
      for (const x of dead) {
        if (t(x).isDisposed) throw new Error('A tensor was freed twice.');
        t(x).dispose();
        alive.delete(t(x));
      }
    },
    matMul: (a, b, ta, tb) => make(() => tf.matMul(t(a), t(b), ta, tb)),
    batchMatMul: (a, b, ta, tb) => make(() => tf.matMul(t(a), t(b), ta, tb)),
    add: (a, b) => make(() => tf.add(t(a), t(b))),
    sub: (a, b) => make(() => tf.sub(t(a), t(b))),
    mul: (a, b) => make(() => tf.mul(t(a), t(b))),
    div: (a, b) => make(() => tf.div(t(a), t(b))),
    addN: (parts) => make(() => tf.addN(parts.map(t))),
    scale: (x, factor) => make(() => tf.mul(t(x), factor)),
    tanh: (x) => make(() => tf.tanh(t(x))),
    erf: (x) => make(() => tf.erf(t(x))),
    exp: (x) => make(() => tf.exp(t(x))),
    sqrt: (x) => make(() => tf.sqrt(t(x))),
    relu: (x) => make(() => tf.relu(t(x))),
    positive: (x) => make(() => tf.cast(tf.greater(t(x), 0), 'float32')),
    sigmoid: (x) => make(() => tf.sigmoid(t(x))),
    sigmoidGrad: (y, dy) => make(() => tf.mul(tf.mul(t(dy), t(y)), tf.sub(1, t(y)))),
    softmax: (x) => make(() => tf.softmax(t(x))),
    sum: (x) => make(() => tf.sum(t(x), -1, true)),
    max: (x) => make(() => tf.max(t(x), -1, true)),
    rms: (x, eps) => make(() => tf.rsqrt(tf.add(tf.mean(tf.square(t(x)), -1, true), eps))),
    reshape: (x, shape) => make(() => tf.reshape(t(x), [...shape])),
    transpose: (x, perm) => make(() => tf.transpose(t(x), [...perm])),
    concat: (parts, axis) => make(() => tf.concat(parts.map(t), axis)),
    split: (x, sizes, axis) => tf.split(t(x), [...sizes], axis).map(wrap),
    slice: (x, begin, size) => make(() => tf.slice(t(x), [...begin], [...size])),
    pad: (x, axis, before, after) =>
      make(() =>
        tf.pad(
          t(x),
          x.shape.map((_, i) => (i === axis ? [before, after] : [0, 0])),
        ),
      ),
    gather: (x, indices) => make(() => tf.gather(t(x), t(indices))),
    gatherElements: (x, places) => make(() => tf.gatherND(t(x), t(places))),
    rotate: (x, table) => make(() => rotate(tf, t(x), t(table))),
    dropoutMask(shape, rate, seed) {
      const random = createRandom(seed, 'dropout');
      const mask = new Float32Array(elementCount(shape));
      for (let i = 0; i < mask.length; i++) mask[i] = random() < rate ? 0 : 1 / (1 - rate);
      return wrap(tf.tensor(mask, [...shape]));
    },
  };
}

function refuseHalf(): never {
  throw new TypeError('tfjs has no bf16.');
}

/** (a + ib)(c + is) = (ac - bs) + i(as + bc) on neighbouring pairs. */
function rotate(tf: typeof tfjs, x: tfjs.Tensor, table: tfjs.Tensor): tfjs.Tensor {
  const half = table.size / 2;
  const [a, b] = tf.unstack(tf.reshape(x, [-1, half, 2]), -1) as [tfjs.Tensor, tfjs.Tensor];
  const [c, s] = tf.unstack(tf.reshape(table, [half, 2]), -1) as [tfjs.Tensor, tfjs.Tensor];
  const real = tf.sub(tf.mul(a, c), tf.mul(b, s));
  const imaginary = tf.add(tf.mul(a, s), tf.mul(b, c));
  return tf.reshape(tf.stack([real, imaginary], -1), x.shape);
}
