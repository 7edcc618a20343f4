import type { Tfjs, TfjsNode } from './loadTfjs';
import { isWithoutBf16, type Bf16 } from './processor';

/** The side of the square matrices that are multiplied to measure a speed. */
export const MEASURED_SIZE = 1024;

/** Billions of operations per second in a product of two square matrices, of the fastest few. */
export function measureGflops(tf: Tfjs, size = MEASURED_SIZE): number {
  const [a, b] = [tf.ones([size, size]), tf.ones([size, size])];
  try {
    const seconds = fastest(() => {
      const product = tf.matMul(a, b);
      product.dataSync();
      product.dispose();
    });
    return (2 * size ** 3) / seconds / 1e9;
  } finally {
    a.dispose();
    b.dispose();
  }
}

/** tfjs-node's binding, as far as it is called here: tfjs itself knows no bf16. */
interface Binding {
  readonly TF_ATTR_TYPE: number;
  readonly TF_ATTR_BOOL: number;
  createTensor(shape: readonly number[], type: number, values: Float32Array): number;
  deleteTensor(id: number): void;
  tensorDataSync(id: number): ArrayLike<number>;
  isUsingGpuDevice(): boolean;
  executeOp(
    name: string,
    attrs: readonly object[],
    inputs: readonly number[],
    outputs: number,
  ): readonly { readonly id: number }[];
}

/** Of libtensorflow's types. */
const [FLOAT, BFLOAT16] = [1, 14];
/** The side of the matrices by which the two types are compared, which takes milliseconds. */
const COMPARED_SIZE = 512;
/** How much less time bf16 must take: a measurement has noise. */
const FASTER = 0.8;

/** What LoraProcessor answers where only a measurement tells. */
const UNKNOWN = -1;

/**
 * What libtensorflow's products of bf16 are on this processor: what the processor says of itself,
 * through the binding, or else what a measurement says. On a GPU, whether there are any.
 */
export function measureBf16(tf: TfjsNode): Bf16 {
  const { binding } = tf.backend() as unknown as { binding: Binding };
  if (binding.isUsingGpuDevice()) return bf16OfGpu(binding);
  const answer = run(binding, 'LoraProcessor', [], []);
  const known = binding.tensorDataSync(answer)[0]!;
  binding.deleteTensor(answer);
  if (isWithoutBf16() || known < UNKNOWN) return 'none';
  if (known > UNKNOWN) return known > 0 ? 'fast' : 'slow';
  const isFast = secondsOf(binding, BFLOAT16) < FASTER * secondsOf(binding, FLOAT);
  return isFast ? 'fast' : 'slow';
}

/** A GPU that is too old refuses a product. Its operations are not waited for, so none is timed. */
export function bf16OfGpu(binding: Binding): Bf16 {
  try {
    secondsOf(binding, BFLOAT16);
    return 'slow';
  } catch {
    return 'none';
  }
}

const run = (binding: Binding, name: string, attrs: readonly object[], inputs: readonly number[]) =>
  binding.executeOp(name, attrs, inputs, 1)[0]!.id;

/** The seconds of a product. */
function secondsOf(binding: Binding, type: number): number {
  const typeAttr = (name: string, value: number) => ({ name, type: binding.TF_ATTR_TYPE, value });
  const no = (name: string) => ({ name, type: binding.TF_ATTR_BOOL, value: false });
  const values = new Float32Array(COMPARED_SIZE ** 2).fill(1);
  const ones = binding.createTensor([COMPARED_SIZE, COMPARED_SIZE], FLOAT, values);
  const x = run(
    binding,
    'Cast',
    [typeAttr('SrcT', FLOAT), typeAttr('DstT', type), no('Truncate')],
    [ones],
  );
  const attrs = [no('transpose_a'), no('transpose_b'), typeAttr('T', type)];
  const seconds = fastest(() => binding.deleteTensor(run(binding, 'MatMul', attrs, [x, x])));
  for (const id of [ones, x]) binding.deleteTensor(id);
  return seconds;
}

const ROUNDS = 5;

/** The seconds of the fastest call; the first one, which compiles and allocates, does not count. */
function fastest(action: () => void): number {
  action();
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    action();
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  return best;
}
