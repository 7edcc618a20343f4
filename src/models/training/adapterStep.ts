import type { FlatMoments } from '../ops/fusedOps';
import { BETA1, BETA2, clipFactor, EPS, type AdamWStep } from './adamw';

/** The numbers start..end of the flat vectors, which take one step. */
export interface SteppedRange extends Omit<AdamWStep, 'scale'> {
  readonly start: number;
  readonly end: number;
}

/** A step of all trained numbers of an adapter. */
export interface AdapterStep {
  /** The gradients are divided by it first. */
  readonly divisor: number;
  /** 0: the gradients are not clipped. */
  readonly max_grad_norm: number;
  /** In ascending order. Other numbers have no gradient, and are left as they are. */
  readonly ranges: readonly SteppedRange[];
}

/** Numbers whose squares are one sum. */
const SUMMED = 4096;

/**
 * Divides the gradients, clips them by their L2 norm, takes a step of AdamW and sets them to 0, all
 * in place and in f64. Returns the norm before clipping. The kernel of
 * src/runtime/kernels/adapter.cc computes the same bytes.
 */
export function stepAdapter(
  vectors: FlatMoments,
  { divisor, max_grad_norm, ranges }: AdapterStep,
): number {
  const { gradients } = vectors;
  const norm = divideGradients(gradients, divisor);
  const factor = clipFactor(norm, max_grad_norm);
  if (factor < 1) {
    for (let i = 0; i < gradients.length; i++) gradients[i]! *= factor;
  }
  for (const range of ranges) stepRange(vectors, range);
  gradients.fill(0);
  return norm;
}

/** Divides the gradients, in place, and returns the L2 norm of the quotients. */
function divideGradients(gradients: Float32Array, divisor: number): number {
  let squares = 0;
  for (let start = 0; start < gradients.length; start += SUMMED)
    squares += dividePart(gradients.subarray(start, start + SUMMED), divisor);
  return Math.sqrt(squares);
}

/** The sum of squares of some quotients, in eight sums as the kernel adds them. */
function dividePart(gradients: Float32Array, divisor: number): number {
  const sums = new Float64Array(8);
  for (let i = 0; i < gradients.length; i++) {
    const g = gradients[i]! / divisor;
    gradients[i] = g;
    sums[i & 7]! += g * g;
  }
  const [a, b, c, d, e, f, g, h] = sums as unknown as [
    ...[number, number, number, number],
    ...[number, number, number, number],
  ];
  return a + e + (c + g) + (b + f + (d + h));
}

/** A step of the numbers of a range, in place. */
export function stepRange(
  { theta, gradients, exp_avg: m, exp_avg_sq: v }: FlatMoments,
  { start, end, decay, size, root }: SteppedRange,
): void {
  for (let i = start; i < end; i++) {
    const g = gradients[i]!;
    const mean = m[i]! + (1 - BETA1) * (g - m[i]!);
    const square = BETA2 * v[i]! + (1 - BETA2) * g * g;
    m[i] = mean;
    v[i] = square;
    theta[i] = theta[i]! * decay - (size * mean) / (Math.sqrt(square) / root + EPS);
  }
}

/** Joins neighbours that take the same step. */
export function joinedRanges(ranges: readonly SteppedRange[]): SteppedRange[] {
  const joined: SteppedRange[] = [];
  for (const range of ranges) {
    const last = joined.at(-1);
    if (last && continues(last, range)) joined[joined.length - 1] = { ...last, end: range.end };
    else joined.push(range);
  }
  return joined;
}

const continues = (a: SteppedRange, b: SteppedRange): boolean =>
  a.end === b.start && a.decay === b.decay && a.size === b.size && a.root === b.root;

/** A step as words of f64 numbers: StepForm and SteppedRange of src/runtime/kernels/adapter.cc. */
export function wordsOf({ divisor, max_grad_norm, ranges }: AdapterStep): Int32Array {
  const common = [divisor, max_grad_norm, 1 - BETA1, BETA2, 1 - BETA2, EPS];
  const own = ranges.flatMap(({ start, end, decay, size, root }) => [
    ...[start, end, decay, size, root],
  ]);
  return new Int32Array(Float64Array.from([...common, ...own]).buffer);
}
