import type { LabelPool } from '../../formats/architecture/spec';
import type { EmbeddingSettings } from '../../shared/embeddingSettings';
import type { RerankerLoss } from '../../shared/rerankerSettings';
import { roundedUp } from '../../shared/roundedSizes';
import { NO_LABEL } from '../../shared/task';
import type { Dropout } from '../layers/dropout';
import type { Comparison, Evaluation, LabelledInput, LossKind, ModelInput } from '../model';
import { thenFree, type Tensor } from '../ops/ops';
import type { ForwardPass, Transformer } from '../transformer';
import { rowsOf } from '../vision/placedVectors';
import { freeLabelSaved, labelBackward, labelForward, type LabelHead } from './labelHead';
import { ComparedRows } from './comparedRows';
import { comparisonLoss, learntTokens } from './comparisonLoss';
import { embeddingLoss } from './embeddingLoss';
import { isPlainHead, lmLoss, timesRows, type LmHead, type LossOutputs } from './lmHead';
import { lmLogits, lmTopTokens } from './lmOutputs';
import { firstAndMean, gradientOfMeans, meanOfTokens, type Pooled } from './meanPooling';
import { rankingLoss } from './rankingLoss';
import type { TeacherSettings, TopTokens } from './teacher';
import { lossOf, type Loss } from './loss';
import { normalizedRows } from './unitRows';

/** Computes outputs and losses of a transformer's vectors. */
export interface Head {
  /** See `Model.logits`. */
  logits(input: ModelInput): Promise<Float32Array>;
  /** With `train` it also accumulates the gradients of the sum. */
  loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation>;
}

const NO_LABELS: Evaluation = { loss_sum: 0, labelled: 0, weight: 0, outputs: null };

/** Logits of the next token. Rows without a label never reach the output layer. */
export class NextTokenHead implements Head {
  constructor(
    private readonly body: Transformer,
    readonly head: LmHead,
    /** Label smoothing in training, from 0 to 1. */
    private readonly smoothing = 0,
  ) {}

  async logits(input: ModelInput): Promise<Float32Array> {
    const pass = await this.body.forward(input, null, false, null);
    const logits = await lmLogits(this.body.ops, this.head, pass.h);
    this.body.release(pass);
    return logits;
  }

  async loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation> {
    const { comparison } = input;
    if (comparison) return this.compare({ ...input, comparison }, train, dropout);
    const { body, head } = this;
    const { ops } = body;
    const { rows, labels, weights } = labelledRows(input);
    if (labels.length === 0) return NO_LABELS;
    const selected = withRoundedCount(rows, input.batch * input.length);
    const pass = await body.forward(input, selected, train, dropout);
    const wanted = train ? this.gradients() : 'loss';
    const { teacher } = input;
    const smoothing = train ? this.smoothing : 0;
    const targets = { h: pass.h, labels, weights, smoothing, teacher };
    const { loss_sum, divergence_sum, dh } = await lmLoss({ ops, dropout }, head, targets, wanted);
    await this.end(pass, dh);
    const weight = weights ? weights.reduce((sum, own) => sum + own, 0) : labels.length;
    return {
      loss_sum,
      labelled: labels.length,
      weight,
      outputs: null,
      ...(teacher && { divergence_sum }),
    };
  }

  /** See `Model.topTokens`. */
  async topTokens(
    input: LabelledInput,
    settings: Pick<TeacherSettings, 'temperature' | 'top_k'>,
  ): Promise<TopTokens> {
    const { body, head } = this;
    const { rows } = labelledRows(input);
    if (rows.length === 0) return { ids: new Int32Array(0), logps: new Float32Array(0) };
    const selected = withRoundedCount(rows, input.batch * input.length);
    const pass = await body.forward(input, selected, false, null);
    const found = await lmTopTokens(body.ops, head, { h: pass.h, n: rows.length }, settings);
    body.release(pass);
    return found;
  }

  /** See `Model.logProbabilities`. */
  async logProbabilities(input: LabelledInput): Promise<Float64Array> {
    const { body, head } = this;
    const rows = new ComparedRows(input, 'none');
    const selected = withRoundedCount(rows.rows, input.batch * input.length);
    const pass = await body.forward(input, selected, false, null);
    const computation = { ops: body.ops, dropout: null };
    const labelled = { h: pass.h, labels: rows.labels, weights: null, smoothing: 0 };
    const { losses } = await lmLoss(computation, head, labelled, 'loss');
    body.release(pass);
    return rows.scores(losses).sums;
  }

  /**
   * The loss of answers that are compared. The weights of the tokens are known only after all of
   * their log-probabilities are: with a plain head the gradient of each row is computed at once and
   * weighted afterwards, else the logits are computed a second time.
   */
  private async compare(
    input: LabelledInput & { readonly comparison: Comparison },
    train: boolean,
    dropout: Dropout | null,
  ): Promise<Evaluation> {
    const { body, head } = this;
    const { ops } = body;
    const { comparison } = input;
    const learnt = learntTokens(comparison.objective);
    const rows = new ComparedRows(input, learnt, this.placesOfImages(input));
    const selected = withRoundedCount(rows.rows, input.batch * input.length);
    const pass = await body.forward(input, selected, train, dropout);
    const isOnce = isPlainHead(head);
    const computation = { ops, dropout };
    const labelled = { h: pass.h, labels: rows.labels, weights: null, smoothing: 0 };
    const first = train && isOnce ? this.gradients() : 'loss';
    const { losses, dh } = await lmLoss(computation, head, labelled, first);
    const { loss_sum, result, ...slopes } = comparisonLoss(comparison, rows.scores(losses));
    const weights = rows.weights(slopes);
    const weighted =
      train && !isOnce
        ? (await lmLoss(computation, head, { ...labelled, weights }, this.gradients())).dh
        : dh && timesRows(ops, dh, weights);
    await this.end(pass, weighted);
    const terms = result.losses.length;
    return { loss_sum, labelled: terms, weight: terms, outputs: null, compared: result };
  }

  private placesOfImages({ placed_images: images = [] }: ModelInput): ReadonlySet<number> {
    const { vision } = this.body;
    return new Set(vision ? rowsOf(images, vision.spec.merge) : []);
  }

  private async end(pass: ForwardPass, dh: Tensor | null): Promise<void> {
    if (dh) await this.body.backward(pass, this.padRows(dh, pass.h.shape[0]!));
    else this.body.release(pass);
  }

  private gradients(): LossOutputs {
    return this.body.trains ? 'all' : 'head';
  }

  /** dh [labelled, d] with zeros for the other rows. Frees dh. */
  private padRows(dh: Tensor, rows: number): Tensor {
    const { ops } = this.body;
    const others = rows - dh.shape[0]!;
    return others === 0 ? dh : thenFree(ops, ops.pad(dh, 0, 0, others), dh);
  }
}

/**
 * The rows, and some without a label, such that the last layer sees only a few different numbers of
 * rows.
 */
function withRoundedCount(rows: Int32Array, n: number): Int32Array {
  const count = roundedUp(rows.length, n);
  const all = new Set(rows);
  for (let row = 0; all.size < count; row++) all.add(row);
  return Int32Array.from(all);
}

/**
 * Positions whose next token has a label, and those labels. The last token of a packed example has
 * no next one.
 */
function labelledRows({ batch, length, labels, weights, segment_ids }: LabelledInput): {
  readonly rows: Int32Array;
  readonly labels: Int32Array;
  readonly weights: Float32Array | null;
} {
  const rows: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let i = b * length; i + 1 < (b + 1) * length; i++) {
      const isSameSegment = !segment_ids || segment_ids[i] === segment_ids[i + 1];
      if (labels[i + 1] !== NO_LABEL && isSameSegment) rows.push(i);
    }
  }
  return {
    rows: Int32Array.from(rows),
    labels: Int32Array.from(rows, (row) => labels[row + 1]!),
    weights: weights ? Float32Array.from(rows, (row) => weights[row + 1]!) : null,
  };
}

interface LabelsSettings {
  /** What the head reads. */
  readonly pool: LabelPool;
  readonly kind: Exclude<LossKind, 'next_token' | 'pairs'>;
  /** Label smoothing in training, from 0 to 1. */
  readonly smoothing: number;
  /** The loss of rated documents; null: that which fits them. */
  readonly ranking: RerankerLoss | null;
}

/** Labels of rows or of tokens. Only the vectors that the head reads leave the last layer. */
export class LabelsHead implements Head {
  constructor(
    private readonly body: Transformer,
    private readonly head: LabelHead,
    private readonly settings: LabelsSettings,
  ) {}

  async logits(input: ModelInput): Promise<Float32Array> {
    const { body } = this;
    const { ops } = body;
    const pass = await body.forward(input, this.selectedRows(input), false, null);
    const pooled = this.pooled(pass.h, input);
    const { y, saved } = labelForward({ ops, dropout: null }, this.head, pooled.h);
    freeLabelSaved(ops, saved);
    const logits = await ops.download(y);
    ops.free(y, ...pooled.own);
    body.release(pass);
    return logits;
  }

  async loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation> {
    const { body, head } = this;
    const { ops } = body;
    const computation = { ops, dropout };
    const pass = await body.forward(input, this.selectedRows(input), train, dropout);
    const pooled = this.pooled(pass.h, input);
    const { y, saved } = labelForward(computation, head, pooled.h);
    const outputs = await ops.download(y);
    const { gradient, compared, ...sums } = this.lossOf(
      input,
      { outputs, width: y.shape[1]! },
      train,
    );
    ops.free(y);
    if (train && sums.labelled > 0) {
      const dy = ops.upload(gradient, y.shape);
      const wantsInput = body.trains;
      const dh = await labelBackward(computation, head, saved, { dy, wantsInput });
      await endPass(body, pass, dh && pooled.backward(dh));
    } else {
      freeLabelSaved(ops, saved);
      body.release(pass);
    }
    ops.free(...pooled.own);
    return { ...sums, outputs, ...(compared && { compared }) };
  }

  /** What the head reads of the body's output. */
  private pooled(h: Tensor, input: ModelInput): Pooled {
    const { pool } = this.settings;
    const { ops } = this.body;
    if (pool === 'first_and_mean') return firstAndMean(ops, h, input);
    if (pool !== 'mean') return { h, own: [], backward: (dh) => dh };
    const { y, weights } = meanOfTokens(ops, h, input);
    return { h: y, own: [y, weights], backward: (dh) => gradientOfMeans(ops, weights, dh) };
  }

  private lossOf(
    input: LabelledInput,
    { outputs, width }: { readonly outputs: Float32Array; readonly width: number },
    train: boolean,
  ): Loss & Pick<Evaluation, 'compared'> {
    const { kind, smoothing, ranking } = this.settings;
    if (input.comparison) return rewardLoss(input.comparison, outputs);
    if (input.ranking)
      return rankingLoss({ ...input, outputs, groups: input.ranking.groups }, ranking);
    const targets = { ...input, smoothing: train ? smoothing : 0 };
    return lossOf(kind, outputs, width, targets);
  }

  /** Rows that the head reads: each sequence's first token, its last real one, or (null) all. */
  private selectedRows({ batch, length, attention_mask }: ModelInput): Int32Array | null {
    const { pool } = this.settings;
    if (pool !== 'first' && pool !== 'last') return null;
    const lastToken = (row: number) => {
      const mask = attention_mask.subarray(row * length, (row + 1) * length);
      return Math.max(0, mask.lastIndexOf(1));
    };
    return Int32Array.from(
      { length: batch },
      (_, row) => row * length + (pool === 'first' ? 0 : lastToken(row)),
    );
  }
}

/** The loss of the rewards [batch] of compared answers. */
function rewardLoss(comparison: Comparison, outputs: Float32Array) {
  const sums = Float64Array.from(outputs);
  const { loss_sum, result, slopes } = comparisonLoss(comparison, {
    sums,
    counts: sums.map(() => 1),
    nll: { sum: 0, count: 0 },
  });
  const gradient = Float32Array.from(slopes);
  const terms = result.losses.length;
  return { loss_sum, labelled: terms, weight: terms, gradient, compared: result };
}

async function endPass(body: Transformer, pass: ForwardPass, dh: Tensor | null): Promise<void> {
  if (dh) await body.backward(pass, dh);
  else body.release(pass);
}

/** The mean of each sequence's real tokens. */
export class PooledHead implements Head {
  constructor(
    private readonly body: Transformer,
    private readonly normalize: boolean,
    private readonly settings: EmbeddingSettings,
  ) {}

  async logits(input: ModelInput): Promise<Float32Array> {
    const { body } = this;
    const { ops } = body;
    const pass = await body.forward(input, null, false, null);
    const { y, weights } = meanOfTokens(ops, pass.h, input);
    const vectors = await ops.download(y);
    ops.free(y, weights);
    body.release(pass);
    return this.normalize ? normalizedRows(vectors, vectors.length / input.batch) : vectors;
  }

  async loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation> {
    const { body } = this;
    const { ops } = body;
    const pass = await body.forward(input, null, train, dropout);
    const { y, weights } = meanOfTokens(ops, pass.h, input);
    const outputs = await ops.download(y);
    const { gradient, ...sums } = embeddingLoss(
      {
        ...input,
        columns: input.columns ?? 2,
        vectors: outputs,
        width: y.shape[1]!,
      },
      this.settings,
    );
    if (train && body.trains) {
      const dy = ops.upload(gradient, y.shape);
      await body.backward(pass, thenFree(ops, ops.matMul(weights, dy, true), dy));
    } else body.release(pass);
    ops.free(y, weights);
    return { ...sums, outputs };
  }
}
