import type { AttentionSpec, Spec } from '../formats/architecture/spec';
import type { RowBlock, AttentionShape, RotaryTable } from './attention/attention';
import type { PassContext, SelectedRows } from './attention/attentionBranch';
import { planRowBlocks } from './attention/rowBlocks';
import type { Dropout } from './layers/dropout';
import type { EmbeddingLayer } from './embeddings/embeddingLayer';
import {
  freeSavedLayer,
  isLayerTrained,
  layerBackward,
  layerForward,
  type SavedLayer,
  type LayerWeights,
} from './layers/layer';
import {
  isNormTrained,
  normBackward,
  normForward,
  statsTensors,
  type Norm,
  type NormStats,
} from './layers/norm';
import { thenFree, type Ops, type Tensor } from './ops/ops';
import { buildRotaryTable } from './attention/rope';
import type { ModelInput } from './model';
import { windowKey, ropeKey } from './weightLoader';

export interface Body {
  readonly embedding: EmbeddingLayer<unknown>;
  readonly layers: readonly LayerWeights[];
  readonly norm: Norm | null;
}

/** A forward pass on its way: what its backward pass needs. */
export interface ForwardPass {
  readonly input: ModelInput;
  readonly pass: PassContext;
  readonly rows: SelectedRows | null;
  readonly lowest: number;
  readonly embedded: unknown;
  readonly kept: SavedLayer[];
  /** Before the last norm. [m, d] */
  readonly x: Tensor;
  readonly stats: NormStats | null;
  /** What the head reads. [m, d] */
  readonly h: Tensor;
}

/**
 * Forward and backward passes of a transformer, layer by layer, each saved tensor freed as soon as
 * its backward pass is done. Of the lowest `recomputed` layers only the inputs are saved: when
 * their turn comes, those above have freed theirs.
 */
export class Transformer {
  constructor(
    readonly ops: Ops,
    readonly spec: Spec,
    readonly body: Body,
    private readonly recomputed = 0,
  ) {}

  /**
   * The head's input for the chosen rows (null: all); `train`: with what the backward pass needs.
   */
  async forward(
    input: ModelInput,
    chosen: Int32Array | null,
    train: boolean,
    dropout: Dropout | null,
  ): Promise<ForwardPass> {
    const { ops, body } = this;
    const lowest = train ? this.lowestTrained() : Infinity;
    const pass = this.openPass(input, dropout);
    const rows = chosen && uploadRows(ops, chosen, input.batch * input.length);
    const embedded = body.embedding.forward(input, lowest < 0);
    if (lowest >= 0) body.embedding.release(embedded.saved);
    const kept: SavedLayer[] = [];
    let x = embedded.x;
    for (const [i, layer] of body.layers.entries()) {
      const step = layerForward(
        ops,
        layer,
        x,
        pass,
        this.rowsIn(i, rows),
        i < lowest ? 'nothing' : i < this.recomputed ? 'input' : 'all',
      );
      x = step.y;
      kept.push(step.kept);
      await ops.yieldPoint();
    }
    const normed = body.norm ? normForward(ops, body.norm, x) : { h: x, stats: null };
    return { input, pass, rows, lowest, embedded: embedded.saved, kept, x, ...normed };
  }

  /** Whether anything below the head trains. */
  get trains(): boolean {
    return this.lowestTrained() < Infinity;
  }

  /** Adds the gradients for dh [m, d], which it frees; ends the run. */
  async backward(run: ForwardPass, dh: Tensor): Promise<void> {
    const { ops, body } = this;
    let dx: Tensor | null =
      body.norm && run.stats
        ? thenFree(ops, await normBackward(ops, body.norm, run.x, run.stats, dh, null), dh)
        : dh;
    for (let i = run.kept.length - 1; dx && i >= Math.max(0, run.lowest); i--) {
      dx = await layerBackward(
        ops,
        body.layers[i]!,
        dx,
        run.kept[i]!,
        run.pass,
        this.rowsIn(i, run.rows),
        i > run.lowest,
      );
      run.kept[i] = { keep: 'nothing' };
      await ops.yieldPoint();
    }
    if (dx && run.lowest < 0) await body.embedding.backward(run.input, dx, run.embedded);
    else if (dx) ops.free(dx);
    this.release(run);
  }

  /** The chosen rows leave the last layer only. */
  private rowsIn(layer: number, rows: SelectedRows | null): SelectedRows | null {
    return layer === this.body.layers.length - 1 ? rows : null;
  }

  /** Frees what a run holds, where no backward pass does. */
  release({ pass, rows, x, stats, h, kept }: ForwardPass): void {
    const { ops } = this;
    for (const layer of kept) freeSavedLayer(ops, layer);
    ops.free(
      x,
      ...(h === x ? [] : [h]),
      ...(stats ? statsTensors(stats) : []),
      ...(rows ? [rows.indices, rows.inverse] : []),
    );
    this.closePass(pass);
  }

  /**
   * The lowest layer in which something trains: -1 the embedding, the number of layers the last
   * norm; Infinity: none.
   */
  private lowestTrained(): number {
    const { embedding, layers, norm } = this.body;
    if (embedding.trains) return -1;
    const first = layers.findIndex(isLayerTrained);
    return first >= 0 ? first : isNormTrained(norm) ? layers.length : Infinity;
  }

  openPass(input: ModelInput, dropout: Dropout | null): PassContext {
    const { ops, spec } = this;
    const attentions = spec.layers.map((layer) => layer.attention);
    const blocks = new Map(
      [...unique(attentions, windowKey)].map(([key, { window }]) => [
        key,
        planRowBlocks(ops, input, { causal: spec.causal, window }),
      ]),
    );
    return {
      shape: this.shapeOf(input.batch, input.length),
      rowBlocks: blocks,
      dropout,
      ropeTables: new Map(
        [...unique(attentions, ropeKey)].map(([key, attention]) => [
          key,
          this.uploadRotaryTable(attention, input),
        ]),
      ),
      keepProbabilities: [...blocks.values()].every((plan) => this.isSmall(plan, input)),
    };
  }

  closePass({ ropeTables: turns, rowBlocks: blocks }: PassContext): void {
    for (const turn of turns.values()) this.freeRotaryTable(turn);
    this.ops.free(
      ...[...blocks.values()]
        .flat()
        .map((b) => b.mask)
        .filter((m) => m !== null),
    );
  }

  freeRotaryTable(turn: RotaryTable): void {
    this.ops.free(...(turn.kind === 'rotate' ? [turn.forward, turn.backward] : [turn.row]));
  }

  /** For the tokens of a pass, or for the one token at `position` of a longer row. */
  uploadRotaryTable(
    { rope, scale, num_heads, num_kv_heads, head_dim }: AttentionSpec,
    input: Pick<ModelInput, 'batch' | 'length' | 'position_ids'>,
  ): RotaryTable {
    const { ops } = this;
    const layout = { num_heads, num_kv_heads, head_dim };
    if (!rope) {
      const width = (num_heads + 2 * num_kv_heads) * head_dim;
      return {
        kind: 'scale',
        row: ops.upload(new Float32Array(width).fill(1).fill(scale, 0, num_heads * head_dim), [
          width,
        ]),
      };
    }
    const positions = input.position_ids ?? Int32Array.from({ length: input.length }, (_, i) => i);
    const reach = positions.reduce((most, p) => Math.max(most, p + 1), 0);
    const table = (direction: 1 | -1) => {
      const data = buildRotaryTable(rope, layout, scale, positions, reach, direction);
      return ops.upload(data, [data.length]);
    };
    return { kind: 'rotate', forward: table(1), backward: table(-1) };
  }

  shapeOf(batch: number, length: number): AttentionShape {
    const { num_heads, num_kv_heads, head_dim } = this.spec.layers[0]!.attention;
    return { batch, length, num_heads, num_kv_heads, head_dim };
  }

  /**
   * Probabilities are kept as long as they take no more memory than the MLP's inner activations,
   * which are kept anyway.
   */
  private isSmall(plan: readonly RowBlock[], { length }: ModelInput): boolean {
    const { attention, mlp } = this.spec.layers[0]!;
    const probabilities =
      plan.reduce((sum, { start, end, from, to }) => sum + (end - start) * (to - from), 0) *
      attention.num_heads;
    return probabilities <= 2 * length * mlp.down.in_features;
  }
}

function unique(
  attentions: readonly AttentionSpec[],
  key: (attention: AttentionSpec) => string,
): Map<string, AttentionSpec> {
  return new Map(attentions.map((attention) => [key(attention), attention]));
}

function uploadRows(ops: Ops, rows: Int32Array, n: number): SelectedRows {
  const inverse = new Int32Array(n).fill(rows.length);
  rows.forEach((row, i) => (inverse[row] = i));
  return { indices: ops.upload(rows, [rows.length]), inverse: ops.upload(inverse, [n]) };
}
