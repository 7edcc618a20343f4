import { roundedUp } from '../../shared/roundedSizes';
import { NO_LABEL } from '../../shared/task';
import type { Dropout } from '../layers/dropout';
import type { Evaluation, LabelledInput, LossKind, ModelInput } from '../model';
import { thenFree, type Tensor } from '../ops/ops';
import type { ForwardPass, Transformer } from '../transformer';
import { freeLabelSaved, labelBackward, labelForward, type LabelHead } from './labelHead';
import { lmLogits, lmLoss, type LmHead, type LossOutputs } from './lmHead';
import { lossOf, normalizedRows } from './loss';

/** Computes outputs and losses of a transformer's vectors. */
export interface Head {
  /** See `Model.logits`. */
  logits(input: ModelInput): Promise<Float32Array>;
  /** With `train` it also accumulates the gradients of the sum. */
  loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation>;
}

const NO_LABELS: Evaluation = { loss_sum: 0, labelled: 0, outputs: null };

/** Logits of the next token. Rows without a label never reach the output layer. */
export class NextTokenHead implements Head {
  constructor(
    private readonly body: Transformer,
    readonly head: LmHead,
  ) {}

  async logits(input: ModelInput): Promise<Float32Array> {
    const pass = await this.body.forward(input, null, false, null);
    const logits = await lmLogits(this.body.ops, this.head, pass.h);
    this.body.release(pass);
    return logits;
  }

  async loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation> {
    const { body, head } = this;
    const { ops } = body;
    const { rows, labels } = labelledRows(input);
    if (labels.length === 0) return NO_LABELS;
    const selected = withRoundedCount(rows, input.batch * input.length);
    const pass = await body.forward(input, selected, train, dropout);
    const wanted = train ? this.gradients() : 'loss';
    const { loss_sum, dh } = await lmLoss({ ops, dropout }, head, { h: pass.h, labels }, wanted);
    if (dh) await body.backward(pass, this.padRows(dh, pass.h.shape[0]!));
    else body.release(pass);
    return { loss_sum, labelled: labels.length, outputs: null };
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
function labelledRows({ batch, length, labels, segment_ids }: LabelledInput): {
  readonly rows: Int32Array;
  readonly labels: Int32Array;
} {
  const rows: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let i = b * length; i + 1 < (b + 1) * length; i++) {
      const isSameSegment = !segment_ids || segment_ids[i] === segment_ids[i + 1];
      if (labels[i + 1] !== NO_LABEL && isSameSegment) rows.push(i);
    }
  }
  return { rows: Int32Array.from(rows), labels: Int32Array.from(rows, (row) => labels[row + 1]!) };
}

/** Labels of rows or of tokens. Only the vectors that the head reads leave the last layer. */
export class LabelsHead implements Head {
  constructor(
    private readonly body: Transformer,
    private readonly head: LabelHead,
    private readonly pool: 'none' | 'first' | 'last',
    private readonly kind: Exclude<LossKind, 'next_token'>,
  ) {}

  async logits(input: ModelInput): Promise<Float32Array> {
    const { body } = this;
    const { ops } = body;
    const pass = await body.forward(input, this.selectedRows(input), false, null);
    const { y, saved } = labelForward({ ops, dropout: null }, this.head, pass.h);
    freeLabelSaved(ops, saved);
    const logits = await ops.download(y);
    ops.free(y);
    body.release(pass);
    return logits;
  }

  async loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation> {
    const { body, head } = this;
    const { ops } = body;
    const computation = { ops, dropout };
    const pass = await body.forward(input, this.selectedRows(input), train, dropout);
    const { y, saved } = labelForward(computation, head, pass.h);
    const outputs = await ops.download(y);
    const { loss_sum, labelled, gradient } = lossOf(this.kind, outputs, y.shape[1]!, input.labels);
    ops.free(y);
    if (train && labelled > 0) {
      const dy = ops.upload(gradient, y.shape);
      const wantsInput = body.trains;
      await endPass(body, pass, await labelBackward(computation, head, saved, { dy, wantsInput }));
    } else {
      freeLabelSaved(ops, saved);
      body.release(pass);
    }
    return { loss_sum, labelled, outputs };
  }

  /** Rows that the head reads: each sequence's first token, its last real one, or (null) all. */
  private selectedRows({ batch, length, attention_mask }: ModelInput): Int32Array | null {
    if (this.pool === 'none') return null;
    const lastToken = (row: number) => {
      const mask = attention_mask.subarray(row * length, (row + 1) * length);
      return Math.max(0, mask.lastIndexOf(1));
    };
    return Int32Array.from(
      { length: batch },
      (_, row) => row * length + (this.pool === 'first' ? 0 : lastToken(row)),
    );
  }
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
  ) {}

  async logits(input: ModelInput): Promise<Float32Array> {
    const { body } = this;
    const pass = await body.forward(input, null, false, null);
    const { y, weights } = this.pool(pass.h, input);
    const vectors = await body.ops.download(y);
    body.ops.free(y, weights);
    body.release(pass);
    return this.normalize ? normalizedRows(vectors, vectors.length / input.batch) : vectors;
  }

  async loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<Evaluation> {
    const { body } = this;
    const { ops } = body;
    const pass = await body.forward(input, null, train, dropout);
    const { y, weights } = this.pool(pass.h, input);
    const outputs = await ops.download(y);
    const { loss_sum, labelled, gradient } = lossOf('pairs', outputs, y.shape[1]!, input.labels);
    if (train && body.trains) {
      const dy = ops.upload(gradient, y.shape);
      await body.backward(pass, thenFree(ops, ops.matMul(weights, dy, true), dy));
    } else body.release(pass);
    ops.free(y, weights);
    return { loss_sum, labelled, outputs };
  }

  /** y = weights [batch, n] · h [n, d] */
  private pool(
    h: Tensor,
    { batch, length, attention_mask }: ModelInput,
  ): { readonly y: Tensor; readonly weights: Tensor } {
    const { ops } = this.body;
    const n = batch * length;
    const data = new Float32Array(batch * n);
    for (let row = 0; row < batch; row++) {
      const mask = attention_mask.subarray(row * length, (row + 1) * length);
      const count = mask.reduce((sum, m) => sum + m, 0);
      const start = row * n + row * length;
      mask.forEach((m, i) => (data[start + i] = count === 0 ? 0 : m / count));
    }
    const weights = ops.upload(data, [batch, n]);
    return { y: ops.matMul(weights, h), weights };
  }
}
