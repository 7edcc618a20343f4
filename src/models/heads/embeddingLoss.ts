import type { EmbeddingLoss, EmbeddingSettings } from '../../shared/embeddingSettings';
import { crossEntropy, type Loss, type Targets } from './loss';
import { tripletLoss } from './tripletLoss';
import { unitRows, unitRowsBackward, type UnitRows } from './unitRows';

/** The vectors of a batch, row-major: all anchors, all positives, then each column of negatives. */
export interface EmbeddedBatch extends Targets {
  readonly vectors: Float32Array;
  readonly width: number;
  /** Texts per row: 2 and its negatives. */
  readonly columns: number;
}

/**
 * The loss of a batch of embeddings (sentence-transformers' losses on cosines), summed over its
 * rows, and its gradient. Vectors need not have length 1. With matryoshka_dims, the weighted sum of
 * the losses of the first numbers of all vectors (MatryoshkaLoss, Kusupati et al. 2022). Losses
 * that sentence-transformers gives to a whole batch count as that of each of its rows.
 */
export function embeddingLoss(batch: EmbeddedBatch, settings: EmbeddingSettings): Loss {
  const { vectors, width, labels } = batch;
  const name = settings.loss ?? defaultLoss(labels);
  const { matryoshka_dims, matryoshka_weights } = settings;
  const gradient = new Float32Array(vectors.length);
  const dims = matryoshka_dims ?? [width];
  let loss_sum = 0;
  let sums = { labelled: 0, weight: 0 };
  dims.forEach((dim, i) => {
    const factor = matryoshka_weights?.[i] ?? 1;
    const own = lossOfVectors(
      name,
      { ...batch, vectors: firstColumns(vectors, width, dim), width: dim },
      settings,
    );
    loss_sum += factor * own.loss_sum;
    sums = own;
    own.gradient.forEach((d, at) => {
      gradient[Math.floor(at / dim) * width + (at % dim)]! += factor * d;
    });
  });
  return { loss_sum, labelled: sums.labelled, weight: sums.weight, gradient };
}

/** With whole vectors. Euclidean distances depend on their length; shortened ones have length 1. */
function lossOfVectors(
  name: EmbeddingLoss,
  batch: EmbeddedBatch,
  settings: EmbeddingSettings,
): Loss {
  const { triplet_distance, triplet_margin, matryoshka_dims } = settings;
  const isEuclidean = name === 'TripletLoss' && triplet_distance === 'euclidean';
  if (isEuclidean && matryoshka_dims === null) return tripletLoss(batch, triplet_margin);
  const units = unitRows(batch.vectors, batch.width);
  if (isEuclidean) {
    const own = tripletLoss({ ...batch, vectors: units.rows }, triplet_margin);
    return { ...own, gradient: unitRowsBackward(units, own.gradient) };
  }
  const { dUnits, ...sums } = lossOfUnits(name, units, batch, settings);
  return { ...sums, gradient: unitRowsBackward(units, dUnits) };
}

const defaultLoss = (labels: ArrayLike<number>): EmbeddingLoss =>
  labels.length > 0 ? 'CosineSimilarityLoss' : 'MultipleNegativesRankingLoss';

function firstColumns(vectors: Float32Array, width: number, dim: number): Float32Array {
  if (dim === width) return vectors;
  const cut = new Float32Array((vectors.length / width) * dim);
  for (let row = 0; row * width < vectors.length; row++)
    cut.set(vectors.subarray(row * width, row * width + dim), row * dim);
  return cut;
}

interface UnitLoss {
  readonly loss_sum: number;
  readonly labelled: number;
  readonly weight: number;
  readonly dUnits: Float64Array;
}

function lossOfUnits(
  name: EmbeddingLoss,
  units: UnitRows,
  batch: EmbeddedBatch,
  settings: EmbeddingSettings,
): UnitLoss {
  if (name === 'MultipleNegativesRankingLoss') return rankingLoss(units, batch, settings.scale);
  if (name === 'TripletLoss') return cosineTripletLoss(units, batch, settings.triplet_margin);
  const pairs = units.lengths.length / batch.columns;
  const cosines = Float64Array.from({ length: pairs }, (_, i) => dot(units, i, pairs + i));
  const { loss_sum, weight, slopes } = PAIR_LOSSES[name](cosines, batch, settings);
  const dUnits = new Float64Array(units.rows.length);
  slopes.forEach((d, i) => addProduct(units, dUnits, { first: i, second: pairs + i, d }));
  return { loss_sum, labelled: pairs, weight, dUnits };
}

/**
 * Multiple negatives ranking (Henderson et al. 2017): among the positives and negatives of all
 * rows, a row's own positive must be the nearest to its anchor.
 */
function rankingLoss(
  units: UnitRows,
  { columns, weights }: EmbeddedBatch,
  scale: number,
): UnitLoss {
  const pairs = units.lengths.length / columns;
  const candidates = (columns - 1) * pairs;
  const scores = new Float32Array(pairs * candidates);
  for (let i = 0; i < pairs; i++)
    for (let j = 0; j < candidates; j++)
      scores[i * candidates + j] = scale * dot(units, i, pairs + j);
  const labels = Int32Array.from({ length: pairs }, (_, i) => i);
  const { gradient, ...sums } = crossEntropy(scores, candidates, { labels, weights });
  const dUnits = new Float64Array(units.rows.length);
  for (let i = 0; i < pairs; i++)
    for (let j = 0; j < candidates; j++) {
      const d = scale * gradient[i * candidates + j]!;
      addProduct(units, dUnits, { first: i, second: pairs + j, d });
    }
  return { ...sums, dUnits };
}

/** max(0, the cosine of anchor and negative - that of anchor and positive + margin). */
function cosineTripletLoss(units: UnitRows, { weights }: EmbeddedBatch, margin: number): UnitLoss {
  const rows = units.lengths.length / 3;
  const dUnits = new Float64Array(units.rows.length);
  let loss_sum = 0;
  let weight = 0;
  for (let i = 0; i < rows; i++) {
    const own = weights?.[i] ?? 1;
    const loss = dot(units, i, 2 * rows + i) - dot(units, i, rows + i) + margin;
    weight += own;
    if (loss <= 0) continue;
    loss_sum += own * loss;
    addProduct(units, dUnits, { first: i, second: rows + i, d: -own });
    addProduct(units, dUnits, { first: i, second: 2 * rows + i, d: own });
  }
  return { loss_sum, labelled: rows, weight, dUnits };
}

interface PairLoss {
  readonly loss_sum: number;
  readonly weight: number;
  /** d(loss_sum) / d(cosine) of each pair. */
  readonly slopes: Float64Array;
}

type PairLossOf = (
  cosines: Float64Array,
  targets: Targets,
  settings: EmbeddingSettings,
) => PairLoss;

const PAIR_LOSSES: Readonly<
  Record<Exclude<EmbeddingLoss, 'MultipleNegativesRankingLoss' | 'TripletLoss'>, PairLossOf>
> = {
  CosineSimilarityLoss: (cosines, { labels, weights }) => {
    let loss_sum = 0;
    let weight = 0;
    const slopes = cosines.map((cosine, i) => {
      const own = weights?.[i] ?? 1;
      loss_sum += own * (cosine - labels[i]!) ** 2;
      weight += own;
      return 2 * own * (cosine - labels[i]!);
    });
    return { loss_sum, weight, slopes };
  },
  CoSENTLoss: cosentLoss,
  OnlineContrastiveLoss: onlineContrastiveLoss,
};

/**
 * CoSENT: log(1 + the sum of exp(scale · (cosine_i - cosine_j)) over all pairs of rows of which i
 * has the lower score).
 */
function cosentLoss(
  cosines: Float64Array,
  { labels }: Targets,
  { scale }: EmbeddingSettings,
): PairLoss {
  const n = cosines.length;
  const terms: { readonly i: number; readonly j: number; readonly z: number }[] = [];
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++)
      if (labels[i]! < labels[j]!) terms.push({ i, j, z: scale * (cosines[i]! - cosines[j]!) });
  const top = terms.reduce((most, { z }) => Math.max(most, z), 0);
  const total = terms.reduce((sum, { z }) => sum + Math.exp(z - top), Math.exp(-top));
  const slopes = new Float64Array(n);
  for (const { i, j, z } of terms) {
    const d = (n * scale * Math.exp(z - top)) / total;
    slopes[i]! += d;
    slopes[j]! -= d;
  }
  return { loss_sum: n * (top + Math.log(total)), weight: n, slopes };
}

/**
 * The sum of d² over related pairs (score 1) that are farther than the nearest unrelated one, and
 * of (margin - d)² over unrelated pairs (score 0) nearer than the farthest related one; d = 1 -
 * cosine.
 */
function onlineContrastiveLoss(
  cosines: Float64Array,
  { labels }: Targets,
  { margin }: EmbeddingSettings,
): PairLoss {
  const n = cosines.length;
  const distances = cosines.map((cosine) => 1 - cosine);
  const related = distances.filter((_, i) => labels[i] === 1);
  const others = distances.filter((_, i) => labels[i] === 0);
  const mean = (values: Float64Array) => values.reduce((a, b) => a + b, 0) / values.length;
  const near = related.length > 0 ? Math.max(...related) : mean(others);
  const far = others.length > 0 ? Math.min(...others) : mean(related);
  let loss = 0;
  const slopes = distances.map((d, i) => {
    if (labels[i] === 1 && d > far) {
      loss += d * d;
      return -2 * n * d;
    }
    const short = margin - d;
    if (labels[i] !== 0 || d >= near || short <= 0) return 0;
    loss += short * short;
    return 2 * n * short;
  });
  return { loss_sum: n * loss, weight: n, slopes };
}

function dot({ rows, width }: UnitRows, i: number, j: number): number {
  let sum = 0;
  for (let k = 0; k < width; k++) sum += rows[i * width + k]! * rows[j * width + k]!;
  return sum;
}

/** The gradient of d · (u_first · u_second). */
function addProduct(
  { rows, width }: UnitRows,
  dUnits: Float64Array,
  { first, second, d }: { readonly first: number; readonly second: number; readonly d: number },
): void {
  if (d === 0) return;
  for (let k = 0; k < width; k++) {
    dUnits[first * width + k]! += d * rows[second * width + k]!;
    dUnits[second * width + k]! += d * rows[first * width + k]!;
  }
}
