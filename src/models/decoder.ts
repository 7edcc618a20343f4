import type { AdapterState } from './adapterState';
import type { Architecture } from './architecture';
import type { AttentionBlock, AttentionShape } from './attention';
import { planAttention } from './attentionPlan';
import { breathe } from './breathe';
import type { Dropout } from './dropout';
import type { Embedding } from './embedding';
import { headLogits, headLoss, type Wanted } from './head';
import { layerBackward, layerForward, type LayerSaved, type Pass, type Rows } from './layer';
import type { Ops, Tensor } from './ops/types';
import { inverseFrequencies, rotaryTable } from './rope';
import type { LabelledInput, ModelInput } from './types';
import type { DecoderWeights } from './weights';

export interface LossSum {
  readonly loss_sum: number;
  readonly labelled: number;
}

/** Forward and backward passes of a decoder, layer by layer, each saved tensor freed as soon as its backward pass is done. */
export class Decoder {
  readonly frequencies: Float32Array;

  constructor(
    readonly ops: Ops, readonly arch: Architecture, readonly weights: DecoderWeights, readonly embedding: Embedding, private readonly state: AdapterState,
  ) {
    this.frequencies = inverseFrequencies(arch.rope, arch.head_dim);
  }

  /** [batch, length, vocab] */
  async logits(input: ModelInput): Promise<Float32Array> {
    const { ops, weights, arch } = this;
    const pass = this.openPass(input, null);
    let x = this.embedding.forward(input.input_ids);
    for (const layer of weights.layers) {
      x = layerForward(ops, layer, x, pass, null, false).y;
      await breathe();
    }
    this.closePass(pass);
    return headLogits(ops, { norm: weights.norm, output: weights.output }, x, arch.vocab_size);
  }

  /** The loss; with `train` also the gradients of its sum, added to the adapter's. */
  async loss(input: LabelledInput, train: boolean, dropout: Dropout | null): Promise<LossSum> {
    const { ops, weights, state } = this;
    const targets = labelledRows(input);
    if (targets.labels.length === 0) return { loss_sum: 0, labelled: 0 };
    const lowest = train ? this.lowestTrained() : Infinity;
    const pass = this.openPass(input, dropout);
    const rows = uploadRows(ops, targets.rows, input.batch * input.length);
    const { x, saved } = await this.forward(input.input_ids, pass, rows, lowest);
    const wanted: Wanted = !train ? 'loss' : lowest < weights.layers.length ? 'all' : 'adapter';
    const { loss_sum, dx } = await headLoss(ops, { norm: weights.norm, output: weights.output }, state, x, targets.labels, dropout, wanted);
    if (dx) await this.backward(input.input_ids, dx, saved, pass, lowest);
    ops.free(rows.indices, rows.inverse);
    this.closePass(pass);
    return { loss_sum, labelled: targets.labels.length };
  }

  private async forward(ids: Int32Array, pass: Pass, rows: Rows, lowest: number): Promise<{ x: Tensor; saved: (LayerSaved | null)[] }> {
    const { layers } = this.weights;
    const saved: (LayerSaved | null)[] = [];
    let x = this.embedding.forward(ids);
    for (const [i, layer] of layers.entries()) {
      const step = layerForward(this.ops, layer, x, pass, i === layers.length - 1 ? rows : null, i >= lowest);
      x = step.y;
      saved.push(step.saved);
      await breathe();
    }
    return { x, saved };
  }

  private async backward(ids: Int32Array, dy: Tensor, saved: (LayerSaved | null)[], pass: Pass, lowest: number): Promise<void> {
    let dx: Tensor | null = dy;
    for (let i = saved.length - 1; dx && i >= Math.max(0, lowest); i--) {
      dx = await layerBackward(this.ops, this.weights.layers[i]!, this.state, dx, saved[i]!, pass, i > lowest);
      await breathe();
    }
    if (dx) await this.embedding.backward(ids, dx);
  }

  /** The lowest layer with an adapter: -1 the embedding, the number of layers for the output alone. */
  private lowestTrained(): number {
    if (this.embedding.adapted) return -1;
    const { layers } = this.weights;
    const first = layers.findIndex((l) => [l.qkv, l.o, l.gate, l.up, l.down].some((linear) => linear.lora));
    return first < 0 ? layers.length : first;
  }

  openPass(input: ModelInput, dropout: Dropout | null): Pass {
    const { ops, arch } = this;
    const windows = [...new Set(arch.windows)];
    const blocks = new Map(windows.map((window) => [window, planAttention(ops, input, window)]));
    return {
      shape: this.shapeOf(input.batch, input.length),
      table: this.table(0, input.length, 1),
      inverseTable: this.table(0, input.length, -1),
      blocks,
      dropout,
      keepProbabilities: [...blocks.values()].every((plan) => this.isSmall(plan, input)),
    };
  }

  /** Probabilities are kept as long as they take no more memory than the MLP's inner activations, which are kept anyway. */
  private isSmall(plan: readonly AttentionBlock[], { length }: ModelInput): boolean {
    const probabilities = plan.reduce((sum, { start, end, from, to }) => sum + (end - start) * (to - from), 0) * this.arch.num_heads;
    return probabilities <= 2 * length * this.arch.intermediate_size;
  }

  closePass(pass: Pass): void {
    const masks = [...pass.blocks.values()].flat().map((b) => b.mask);
    this.ops.free(pass.table, pass.inverseTable, ...masks.filter((m) => m !== null));
  }

  shapeOf(batch: number, length: number): AttentionShape {
    const { num_heads, num_kv_heads, head_dim } = this.arch;
    return { batch, length, num_heads, num_kv_heads, head_dim };
  }

  table(start: number, length: number, direction: 1 | -1): Tensor {
    const data = rotaryTable(this.frequencies, this.arch, start, length, direction);
    return this.ops.upload(data, [data.length]);
  }
}

/** Positions whose next token has a label, and those labels. */
function labelledRows({ batch, length, labels }: LabelledInput): { rows: Int32Array; labels: Int32Array } {
  const rows: number[] = [];
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t + 1 < length; t++) if (labels[b * length + t + 1] !== NO_LABEL) rows.push(b * length + t);
  }
  return { rows: Int32Array.from(rows), labels: Int32Array.from(rows, (row) => labels[row + 1]!) };
}

const NO_LABEL = -100;

function uploadRows(ops: Ops, rows: Int32Array, n: number): Rows {
  const inverse = new Int32Array(n).fill(rows.length);
  rows.forEach((row, i) => (inverse[row] = i));
  return { indices: ops.upload(rows, [rows.length]), inverse: ops.upload(inverse, [n]) };
}
