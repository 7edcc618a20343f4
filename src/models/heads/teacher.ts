import { thenFree, type Ops, type Tensor } from '../ops/ops';
import { crossEntropies, logSums, placesOf } from './labelScores';

/** How a model learns from a teacher. */
export interface TeacherSettings {
  /** T: both divide their logits by it. */
  readonly temperature: number;
  /** The share of the loss that is the divergence from the teacher; the rest is cross-entropy. */
  readonly kd_ratio: number;
  /** Tokens whose probabilities the teacher gives. */
  readonly top_k: number;
}

/** The most probable tokens of positions under a teacher, with their log-probabilities. */
export interface TopTokens {
  readonly ids: Int32Array; // [n, top_k]
  /** At the temperature. */
  readonly logps: Float32Array; // [n, top_k]
}

/** The teacher's targets for the labelled positions of a batch, in their order. */
export interface TeacherTargets extends TeacherSettings, TopTokens {}

/** The teacher's targets of `count` positions from `start` on. */
export function targetsFrom(targets: TeacherTargets, start: number, count: number): TeacherTargets {
  const { top_k, ids, logps } = targets;
  const [from, to] = [start * top_k, (start + count) * top_k];
  return { ...targets, ids: ids.subarray(from, to), logps: logps.subarray(from, to) };
}

/** The losses of the rows of a batch, and their gradient. */
export interface TeacherScores {
  /** (1 - kd_ratio) · cross-entropy + kd_ratio · T² · divergence. */
  readonly losses: Float64Array; // [c]
  /** KL(teacher ‖ model) at the temperature, in nats. */
  readonly divergences: Float64Array; // [c]
  /** By the logits; null unless it is wanted. */
  readonly dz: Tensor | null; // [c, vocab]
}

interface TaughtLogits {
  readonly z: Tensor; // [c, vocab], f32
  readonly labels: Int32Array;
  readonly teacher: TeacherTargets;
}

/**
 * Distillation (Hinton et al. 2015): the loss of each row is (1 - α)·CE + α·T²·KL(p ‖ q), with p
 * and q the teacher's and the model's softmax(z / T), and T² so that the gradient does not shrink
 * with T. All tokens but the teacher's top k are one outcome with the probability that is left: KL
 * = Σ p_i log(p_i / q_i) + p_r log(p_r / q_r), p_r = 1 - Σ p_i. It is at most the divergence of the
 * whole distributions, and that itself for k = vocab. Its gradient by z / T is q_i - p_i for the k,
 * and q_j (1 - p_r / q_r) for the others. Does not free z.
 */
export async function teacherScores(
  ops: Ops,
  logits: TaughtLogits,
  wantsGradient: boolean,
): Promise<TeacherScores> {
  const { z, labels, teacher } = logits;
  const { temperature: T, kd_ratio } = teacher;
  const p = ops.softmax(z);
  const entropies = await crossEntropies(ops, z, p, labels);
  const [zT, q] = T === 1 ? [z, p] : scaledSoftmax(ops, z, 1 / T);
  const own = await divergence(ops, { z: zT, q, teacher }, wantsGradient);
  if (T !== 1) ops.free(zT, q);
  const losses = entropies.map(
    (entropy, i) => (1 - kd_ratio) * entropy + kd_ratio * T * T * own.divergences[i]!,
  );
  const dz = own.dz && withEntropy(ops, own.dz, { p, labels, entropies, teacher });
  ops.free(p);
  return { losses, divergences: own.divergences, dz };
}

function scaledSoftmax(ops: Ops, z: Tensor, factor: number): readonly [Tensor, Tensor] {
  const scaled = ops.scale(z, factor);
  return [scaled, ops.softmax(scaled)];
}

const LARGEST_F32 = 3.4e38;

interface TaughtProbabilities {
  readonly z: Tensor; // [c, vocab], divided by T
  readonly q: Tensor; // [c, vocab]
  readonly teacher: TeacherTargets;
}

/** The divergences and their gradient by z / T. Frees nothing. */
async function divergence(
  ops: Ops,
  { z, q, teacher }: TaughtProbabilities,
  wantsGradient: boolean,
): Promise<Pick<TeacherScores, 'divergences' | 'dz'>> {
  const { ids, logps, top_k } = teacher;
  const [rows, vocab] = z.shape as [number, number];
  const places = ops.upload(topPlaces(ids, top_k), [ids.length, 2]);
  const zOfTop = ops.gatherElements(z, places);
  const logits = await ops.download(zOfTop);
  const zeros = ops.upload(new Float32Array(ids.length), [ids.length]);
  const others = thenFree(ops, ops.scatter(q, places, zeros), zeros, zOfTop); // [c, vocab]
  const sums = ops.sum(others);
  const rests = await ops.download(sums);
  ops.free(sums);
  const logSum = await logSums(ops, z, q);
  const divergences = new Float64Array(rows);
  const ofTop = new Float32Array(ids.length); // q_i - p_i
  const ofOthers = new Float32Array(rows); // 1 - p_r / q_r
  for (let row = 0; row < rows; row++) {
    let p_rest = 1;
    for (let i = row * top_k; i < (row + 1) * top_k; i++) {
      const logq = logits[i]! - logSum[row]!;
      const p = Math.exp(logps[i]!);
      p_rest -= p;
      divergences[row]! += p * (logps[i]! - logq);
      ofTop[i] = Math.exp(logq) - p;
    }
    // rounding can leave less than nothing, and nothing is left of all tokens
    p_rest = top_k === vocab ? 0 : Math.max(0, p_rest);
    const q_rest = Math.max(rests[row]!, Number.MIN_VALUE);
    if (p_rest > 0) divergences[row]! += p_rest * (Math.log(p_rest) - Math.log(q_rest));
    // finite in f32, even where all of these q are 0
    ofOthers[row] = Math.max(-LARGEST_F32, 1 - p_rest / q_rest);
  }
  const dz = wantsGradient ? gradientOf(ops, others, { places, ofTop, ofOthers }) : null;
  ops.free(places, others);
  return { divergences, dz };
}

interface GradientParts {
  readonly places: Tensor;
  readonly ofTop: Float32Array;
  readonly ofOthers: Float32Array;
}

/** `others`: q without the top k. Does not free it. */
function gradientOf(ops: Ops, others: Tensor, { places, ofTop, ofOthers }: GradientParts): Tensor {
  const factors = ops.upload(ofOthers, [ofOthers.length, 1]);
  const rest = thenFree(ops, ops.mul(others, factors), factors);
  const values = ops.upload(ofTop, [ofTop.length]);
  return thenFree(ops, ops.scatter(rest, places, values), rest, values);
}

/** (row, id) of the top k of each row. */
const topPlaces = (ids: Int32Array, top_k: number): Int32Array => {
  const places = new Int32Array(2 * ids.length);
  ids.forEach((id, i) => {
    places[2 * i] = Math.floor(i / top_k);
    places[2 * i + 1] = id;
  });
  return places;
};

interface EntropyParts {
  readonly p: Tensor; // [c, vocab]
  readonly labels: Int32Array;
  readonly entropies: Float64Array;
  readonly teacher: TeacherSettings;
}

/** (1 - α) (p - onehot(label)) + α T dKL, the gradient of the loss by z. Frees dKL [c, vocab]. */
function withEntropy(
  ops: Ops,
  dKL: Tensor,
  { p, labels, entropies, teacher: { kd_ratio, temperature } }: EntropyParts,
): Tensor {
  const places = ops.upload(placesOf(labels), [labels.length, 2]);
  const numbers = Float32Array.from(entropies, (entropy) => Math.exp(-entropy) - 1);
  const values = ops.upload(numbers, [labels.length]);
  const dCE = thenFree(ops, ops.scatter(p, places, values), places, values);
  const taught = thenFree(ops, ops.scale(dKL, kd_ratio * temperature), dKL);
  const learnt = thenFree(ops, ops.scale(dCE, 1 - kd_ratio), dCE);
  return thenFree(ops, ops.add(taught, learnt), taught, learnt);
}

/**
 * The k largest numbers of each row of z [c, vocab] with their log-probabilities under softmax(z /
 * T), the largest first; of equal ones those with lower ids. Does not free z.
 */
export async function topTokens(
  ops: Ops,
  z: Tensor,
  { temperature, top_k }: Pick<TeacherSettings, 'temperature' | 'top_k'>,
): Promise<TopTokens> {
  const [rows, vocab] = z.shape as [number, number];
  const [zT, q] = scaledSoftmax(ops, z, 1 / temperature);
  const sums = await logSums(ops, zT, q);
  const numbers = await ops.download(zT);
  ops.free(zT, q);
  const ids = new Int32Array(rows * top_k);
  const logps = new Float32Array(rows * top_k);
  for (let row = 0; row < rows; row++) {
    const own = numbers.subarray(row * vocab, (row + 1) * vocab);
    largestOf(own, top_k).forEach((id, i) => {
      ids[row * top_k + i] = id;
      logps[row * top_k + i] = own[id]! - sums[row]!;
    });
  }
  return { ids, logps };
}

/** The indices of the k largest numbers, see `topTokens`. */
export function largestOf(numbers: Float32Array, k: number): Int32Array {
  // a heap whose first is the one to go: the smallest, of equal ones the last
  const heap = new Int32Array(k);
  const goesFirst = (a: number, b: number): boolean =>
    numbers[a]! < numbers[b]! || (numbers[a] === numbers[b] && a > b);
  const sink = (from: number): void => {
    let at = from;
    for (;;) {
      let first = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < k && goesFirst(heap[child]!, heap[first]!)) first = child;
      if (first === at) return;
      [heap[at], heap[first]] = [heap[first]!, heap[at]!];
      at = first;
    }
  };
  for (let i = 0; i < k; i++) heap[i] = i;
  for (let i = k >> 1; i >= 0; i--) sink(i);
  for (let i = k; i < numbers.length; i++) {
    if (numbers[i]! <= numbers[heap[0]!]!) continue;
    heap[0] = i;
    sink(0);
  }
  return heap.sort((a, b) => numbers[b]! - numbers[a]! || a - b);
}
