import { roundedUp } from '../../shared/roundedSizes';
import type { Dropout } from '../layers/dropout';
import { freeLabels, labelBackward, labelForward, type LabelHead } from './labelHead';
import { lmLogits, lmLoss, type LmHead } from './lmHead';
import { lossOf, normalizedRows } from './loss';
import { thenFree, type Tensor } from '../ops/ops';
import type { Transformer } from '../transformer';
import type { Evaluation, LabelledInput, ModelInput, LossKind } from '../model';

/** What stands on a transformer: makes outputs of its vectors, and losses of them. */
export interface Head {
  logits(input: ModelInput): Promise<Float32Array>;
  /** With `train` also the gradients of the loss's sum. */
  loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation>;
}

const NO_LABEL = -100;
const NOTHING: Evaluation = { loss_sum: 0, labelled: 0, outputs: null };

/** Logits of the next token. Rows without a label never reach the output layer. */
export class NextTokenHead implements Head {
  constructor(
    private readonly body: Transformer,
    readonly head: LmHead,
  ) {}

  async logits(input: ModelInput): Promise<Float32Array> {
    const run = await this.body.forward(input, null, false, null);
    const logits = await lmLogits(this.body.ops, this.head, run.h);
    this.body.release(run);
    return logits;
  }

  async loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation> {
    const { body, head } = this;
    const { rows, labels } = labelledRows(input);
    if (labels.length === 0) return NOTHING;
    const run = await body.forward(
      input,
      withOthers(rows, input.batch * input.length),
      train,
      dropout,
    );
    const wanted = !train ? 'loss' : body.trains ? 'all' : 'head';
    const { loss_sum, dh } = await lmLoss(body.ops, head, run.h, labels, dropout, wanted);
    if (dh && wanted === 'all') await body.backward(run, this.padded(dh, run.h.shape[0]!));
    else {
      if (dh) body.ops.free(dh);
      body.release(run);
    }
    return { loss_sum, labelled: labels.length, outputs: null };
  }

  /** dh [labelled, d] with zeros for the other rows; takes it over. */
  private padded(dh: Tensor, rows: number): Tensor {
    const { ops } = this.body;
    const others = rows - dh.shape[0]!;
    return others === 0 ? dh : thenFree(ops, ops.pad(dh, 0, 0, others), dh);
  }
}

/** With some rows more, without a label, so that few numbers of rows leave the last layer. */
function withOthers(rows: Int32Array, n: number): Int32Array {
  const wanted = roundedUp(rows.length, n);
  const all = new Set(rows);
  for (let row = 0; all.size < wanted; row++) all.add(row);
  return Int32Array.from(all);
}

/**
 * Positions whose next token has a label, and those labels. A packed example's last token has no
 * next one.
 */
function labelledRows({ batch, length, labels, segment_ids }: LabelledInput): {
  rows: Int32Array;
  labels: Int32Array;
} {
  const rows: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let i = b * length; i + 1 < (b + 1) * length; i++) {
      if (labels[i + 1] !== NO_LABEL && (!segment_ids || segment_ids[i] === segment_ids[i + 1]))
        rows.push(i);
    }
  }
  return { rows: Int32Array.from(rows), labels: Int32Array.from(rows, (row) => labels[row + 1]!) };
}

/** Labels of rows or of tokens. Only the vectors that are read leave the last layer. */
export class LabelsHead implements Head {
  constructor(
    private readonly body: Transformer,
    private readonly head: LabelHead,
    private readonly pool: 'none' | 'first' | 'last',
    private readonly problem: Exclude<LossKind, 'next_token'>,
  ) {}

  async logits(input: ModelInput): Promise<Float32Array> {
    const { body } = this;
    const run = await body.forward(input, this.chosen(input), false, null);
    const { y, saved } = labelForward(body.ops, this.head, run.h, null);
    freeLabels(body.ops, saved);
    const logits = await body.ops.download(y);
    body.ops.free(y);
    body.release(run);
    return logits;
  }

  async loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation> {
    const { body, head } = this;
    const { ops } = body;
    const run = await body.forward(input, this.chosen(input), train, dropout);
    const { y, saved } = labelForward(ops, head, run.h, dropout);
    const outputs = await ops.download(y);
    const { loss_sum, labelled, gradient } = lossOf(
      this.problem,
      outputs,
      y.shape[1]!,
      input.labels,
    );
    const dy = train && labelled > 0 ? ops.upload(gradient, y.shape) : null;
    ops.free(y);
    const dh = dy ? await labelBackward(ops, head, run.h, dy, saved, dropout, body.trains) : null;
    if (!dy) freeLabels(ops, saved);
    if (dh) await body.backward(run, dh);
    else body.release(run);
    return { loss_sum, labelled, outputs };
  }

  /** Rows that the head reads: each row's first token, its last real one, or (null) all. */
  private chosen({ batch, length, attention_mask }: ModelInput): Int32Array | null {
    if (this.pool === 'none') return null;
    const last = (row: number) =>
      Math.max(0, attention_mask.subarray(row * length, (row + 1) * length).lastIndexOf(1));
    return Int32Array.from(
      { length: batch },
      (_, row) => row * length + (this.pool === 'first' ? 0 : last(row)),
    );
  }
}

/** The mean of each row's real tokens. */
export class PooledHead implements Head {
  constructor(
    private readonly body: Transformer,
    private readonly normalise: boolean,
  ) {}

  async logits(input: ModelInput): Promise<Float32Array> {
    const { body } = this;
    const run = await body.forward(input, null, false, null);
    const { y, weights } = this.pooled(run.h, input);
    const vectors = await body.ops.download(y);
    body.ops.free(y, weights);
    body.release(run);
    return this.normalise ? normalizedRows(vectors, vectors.length / input.batch) : vectors;
  }

  async loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation> {
    const { body } = this;
    const { ops } = body;
    const run = await body.forward(input, null, train, dropout);
    const { y, weights } = this.pooled(run.h, input);
    const outputs = await ops.download(y);
    const { loss_sum, labelled, gradient } = lossOf('pairs', outputs, y.shape[1]!, input.labels);
    if (train && body.trains) {
      const dy = ops.upload(gradient, y.shape);
      await body.backward(run, thenFree(ops, ops.matMul(weights, dy, true), dy));
    } else body.release(run);
    ops.free(y, weights);
    return { loss_sum, labelled, outputs };
  }

  /** [batch, n] times [n, d] */
  private pooled(
    h: Tensor,
    { batch, length, attention_mask }: ModelInput,
  ): { readonly y: Tensor; readonly weights: Tensor } {
    const { ops } = this.body;
    const data = new Float32Array(batch * batch * length);
    for (let row = 0; row < batch; row++) {
      const mask = attention_mask.subarray(row * length, (row + 1) * length);
      const count = mask.reduce((sum, m) => sum + m, 0);
      mask.forEach(
        (m, i) => (data[row * batch * length + row * length + i] = count === 0 ? 0 : m / count),
      );
    }
    const weights = ops.upload(data, [batch, batch * length]);
    return { y: ops.matMul(weights, h), weights };
  }
}
