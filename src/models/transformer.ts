import type { Spec } from '../formats/architecture/spec';
import { closePass, openPass, type PassContext, type SelectedRows } from './attention/passContext';
import type { ScoreBias } from './attention/scoreBias';
import type { EmbeddingLayer } from './embeddings/embeddingLayer';
import type { Dropout } from './layers/dropout';
import {
  freeSavedLayer,
  isLayerTrained,
  layerBackward,
  layerForward,
  type SavedLayer,
  type SavePolicy,
} from './layers/layer';
import type { LayerWeights } from './layers/layerWeights';
import {
  isNormTrained,
  normBackwardAndFree,
  normForward,
  statsTensors,
  type Norm,
  type NormStats,
} from './layers/norm';
import type { ModelInput } from './model';
import type { Ops, Tensor } from './ops/ops';

/** The parts of a transformer below its head. */
export interface Body {
  readonly embedding: EmbeddingLayer<unknown>;
  readonly layers: readonly LayerWeights[];
  /** After the last layer. */
  readonly norm: Norm | null;
  /** By path. */
  readonly scoreBiases?: ReadonlyMap<string, ScoreBias>;
}

/** A forward pass that has not ended: its output, and what the backward pass needs. */
export interface ForwardPass {
  readonly input: ModelInput;
  readonly context: PassContext;
  readonly rows: SelectedRows | null;
  /** See `Transformer.lowestTrained`. */
  readonly lowest: number;
  readonly embedded: unknown;
  readonly kept: SavedLayer[];
  /** The input of the last norm. */
  readonly x: Tensor; // [m, d]
  readonly stats: NormStats | null;
  /** What the head reads. */
  readonly h: Tensor; // [m, d]
}

/**
 * Forward and backward passes of a transformer. Each saved tensor is freed as soon as its backward
 * pass has been computed. The lowest `recomputed` layers keep only their inputs: by the time of
 * their backward pass those above have freed what they kept.
 */
export class Transformer {
  constructor(
    readonly ops: Ops,
    readonly spec: Spec,
    readonly body: Body,
    private readonly recomputed = 0,
  ) {}

  /** Whether anything below the head trains. */
  get trains(): boolean {
    return this.lowestTrained() < Infinity;
  }

  /**
   * The head's input for the selected rows (null: all). With `train` it keeps what the backward
   * pass needs. Must be ended by `backward` or `release`.
   */
  async forward(
    input: ModelInput,
    selected: Int32Array | null,
    train: boolean,
    dropout: Dropout | null,
  ): Promise<ForwardPass> {
    const { ops, body } = this;
    const lowest = train ? this.lowestTrained() : Infinity;
    const { scoreBiases = new Map<string, ScoreBias>() } = body;
    const context = openPass(ops, this.spec, input, { dropout, scoreBiases });
    const rows = selected && uploadRows(ops, selected, input.batch * input.length);
    const embedded = body.embedding.forward(input, lowest < 0, dropout);
    if (lowest >= 0) body.embedding.release(embedded.saved);
    const kept: SavedLayer[] = [];
    let { x } = embedded;
    for (const [i, layer] of body.layers.entries()) {
      const policy = { rows: this.rowsInLayer(i, rows), keep: this.savePolicy(i, lowest) };
      const output = await layerForward(context, layer, x, policy);
      x = output.y;
      kept.push(output.kept);
      await ops.yieldPoint();
    }
    const normed = body.norm ? normForward(ops, body.norm, x) : { h: x, stats: null };
    return { input, context, rows, lowest, embedded: embedded.saved, kept, x, ...normed };
  }

  /** Accumulates the gradients for dh [m, d], which it frees, and ends the pass. */
  async backward(pass: ForwardPass, dh: Tensor): Promise<void> {
    const { ops, body } = this;
    const { context, kept, lowest, x, stats } = pass;
    let dx: Tensor | null =
      body.norm && stats ? await normBackwardAndFree(ops, body.norm, { x, stats }, dh) : dh;
    for (let i = kept.length - 1; dx && i >= Math.max(0, lowest); i--) {
      const rows = this.rowsInLayer(i, pass.rows);
      const gradient = { dy: dx, rows, wantsInput: i > lowest };
      dx = await layerBackward(context, body.layers[i]!, kept[i]!, gradient);
      kept[i] = { keep: 'nothing' };
      await ops.yieldPoint();
    }
    if (dx && lowest < 0)
      await body.embedding.backward(pass.input, dx, pass.embedded, context.dropout);
    else if (dx) ops.free(dx);
    this.release(pass);
  }

  /** Ends a pass without a backward pass: frees what it holds. */
  release({ context, rows, x, stats, h, kept }: ForwardPass): void {
    const { ops } = this;
    for (const layer of kept) freeSavedLayer(ops, layer);
    ops.free(
      x,
      ...(h === x ? [] : [h]),
      ...(stats ? statsTensors(stats) : []),
      ...(rows ? [rows.indices, rows.inverse] : []),
    );
    closePass(context);
  }

  private savePolicy(layer: number, lowest: number): SavePolicy {
    if (layer < lowest) return 'nothing';
    return layer < this.recomputed ? 'input' : 'all';
  }

  /** Rows are selected in the last layer only. */
  private rowsInLayer(layer: number, rows: SelectedRows | null): SelectedRows | null {
    return layer === this.body.layers.length - 1 ? rows : null;
  }

  /**
   * The lowest layer in which something trains: -1 for the embedding, the number of layers for the
   * last norm, Infinity for none.
   */
  private lowestTrained(): number {
    const { embedding, layers, norm } = this.body;
    if (embedding.trains) return -1;
    const first = layers.findIndex(isLayerTrained);
    if (first >= 0) return first;
    return isNormTrained(norm) ? layers.length : Infinity;
  }
}

function uploadRows(ops: Ops, rows: Int32Array, n: number): SelectedRows {
  const inverse = new Int32Array(n).fill(rows.length);
  rows.forEach((row, i) => (inverse[row] = i));
  return { indices: ops.upload(rows, [rows.length]), inverse: ops.upload(inverse, [n]) };
}
