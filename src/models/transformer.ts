import type { AttentionSpec, Spec } from '../formats/architecture/spec';
import type { AttentionBlock, AttentionShape, Turn } from './attention/attention';
import type { Pass, Rows } from './attention/attentionBranch';
import { planAttention } from './attention/attentionPlan';
import type { Dropout } from './layers/dropout';
import type { EmbeddingLayer } from './embeddings/embeddingLayer';
import {
  freeKept,
  isLayerTrained,
  layerBackward,
  layerForward,
  type LayerKept,
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
import { use, type Ops, type Tensor } from './ops/ops';
import { rotaryTable } from './attention/rope';
import type { ModelInput } from './modelTypes';
import { reachKey, turnKey } from './weights';

export interface Body {
  readonly embedding: EmbeddingLayer<unknown>;
  readonly layers: readonly LayerWeights[];
  readonly norm: Norm | null;
}

/** A forward pass on its way: what its backward pass needs. */
export interface Run {
  readonly input: ModelInput;
  readonly pass: Pass;
  readonly rows: Rows | null;
  readonly lowest: number;
  readonly embedded: unknown;
  readonly kept: LayerKept[];
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
  ): Promise<Run> {
    const { ops, body } = this;
    const lowest = train ? this.lowestTrained() : Infinity;
    const pass = this.openPass(input, dropout);
    const rows = chosen && uploadRows(ops, chosen, input.batch * input.length);
    const embedded = body.embedding.forward(input, lowest < 0);
    if (lowest >= 0) body.embedding.release(embedded.saved);
    const kept: LayerKept[] = [];
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
      await ops.between();
    }
    const normed = body.norm ? normForward(ops, body.norm, x) : { h: x, stats: null };
    return { input, pass, rows, lowest, embedded: embedded.saved, kept, x, ...normed };
  }

  /** Whether anything below the head trains. */
  get trains(): boolean {
    return this.lowestTrained() < Infinity;
  }

  /** Adds the gradients for dh [m, d], which it frees; ends the run. */
  async backward(run: Run, dh: Tensor): Promise<void> {
    const { ops, body } = this;
    let dx: Tensor | null =
      body.norm && run.stats
        ? use(ops, await normBackward(ops, body.norm, run.x, run.stats, dh, null), dh)
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
      await ops.between();
    }
    if (dx && run.lowest < 0) await body.embedding.backward(run.input, dx, run.embedded);
    else if (dx) ops.free(dx);
    this.end(run);
  }

  /** The chosen rows leave the last layer only. */
  private rowsIn(layer: number, rows: Rows | null): Rows | null {
    return layer === this.body.layers.length - 1 ? rows : null;
  }

  /** Frees what a run holds, where no backward pass does. */
  end({ pass, rows, x, stats, h, kept }: Run): void {
    const { ops } = this;
    for (const layer of kept) freeKept(ops, layer);
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

  openPass(input: ModelInput, dropout: Dropout | null): Pass {
    const { ops, spec } = this;
    const attentions = spec.layers.map((layer) => layer.attention);
    const blocks = new Map(
      [...unique(attentions, reachKey)].map(([key, { window }]) => [
        key,
        planAttention(ops, input, { causal: spec.causal, window }),
      ]),
    );
    return {
      shape: this.shapeOf(input.batch, input.length),
      blocks,
      dropout,
      turns: new Map(
        [...unique(attentions, turnKey)].map(([key, attention]) => [
          key,
          this.turnOf(attention, input),
        ]),
      ),
      keepProbabilities: [...blocks.values()].every((plan) => this.isSmall(plan, input)),
    };
  }

  closePass({ turns, blocks }: Pass): void {
    for (const turn of turns.values()) this.freeTurn(turn);
    this.ops.free(
      ...[...blocks.values()]
        .flat()
        .map((b) => b.mask)
        .filter((m) => m !== null),
    );
  }

  freeTurn(turn: Turn): void {
    this.ops.free(...(turn.kind === 'rotate' ? [turn.forward, turn.backward] : [turn.row]));
  }

  /** For the tokens of a pass, or for the one token at `position` of a longer row. */
  turnOf(
    { rope, scale, num_heads, num_kv_heads, head_dim }: AttentionSpec,
    input: Pick<ModelInput, 'batch' | 'length' | 'position_ids'>,
  ): Turn {
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
      const data = rotaryTable(rope, layout, scale, positions, reach, direction);
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
  private isSmall(plan: readonly AttentionBlock[], { length }: ModelInput): boolean {
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

function uploadRows(ops: Ops, rows: Int32Array, n: number): Rows {
  const inverse = new Int32Array(n).fill(rows.length);
  rows.forEach((row, i) => (inverse[row] = i));
  return { indices: ops.upload(rows, [rows.length]), inverse: ops.upload(inverse, [n]) };
}
