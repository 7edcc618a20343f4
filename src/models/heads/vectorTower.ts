import type { VectorPool } from '../../formats/architecture/spec';
import type { Dropout } from '../layers/dropout';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  savedTensors,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import type { ModelInput } from '../model';
import { sumAndFree, type Tensor } from '../ops/ops';
import type { ForwardPass, Transformer } from '../transformer';
import {
  freePoolSaved,
  isPoolTrained,
  poolBackward,
  poolForward,
  type AttentionPool,
  type AttentionPoolSaved,
} from './attentionPool';

/** How the vectors of a tower's positions become one: by selecting a position, or by attention. */
type Pool =
  | Exclude<VectorPool, { kind: 'attention' }>
  | { readonly kind: 'attention'; readonly weights: AttentionPool };

/** A pass of a tower that has not ended. */
interface TowerPass {
  readonly pass: ForwardPass;
  readonly pooled: { readonly y: Tensor; readonly saved: AttentionPoolSaved } | null;
  readonly projected: LinearSaved | null;
  /** A vector of each sequence. */
  readonly y: Tensor; // [batch, width]
}

/** A transformer that makes one vector of each text or image. */
export class VectorTower {
  constructor(
    readonly body: Transformer,
    private readonly pool: Pool,
    private readonly projection: Linear | null,
  ) {}

  /** Must be ended by `backward` or `release`. */
  async forward(input: ModelInput, train: boolean, dropout: Dropout | null): Promise<TowerPass> {
    const { body, pool, projection } = this;
    const computation = { ops: body.ops, dropout };
    const pass = await body.forward(input, selectedRows(pool, input), train, dropout);
    const pooled =
      pool.kind === 'attention'
        ? poolForward(computation, pool.weights, pass.h, input.batch)
        : null;
    const h = pooled?.y ?? pass.h;
    const projected = projection && linearForward(computation, projection, h);
    return { pass, pooled, projected: projected?.saved ?? null, y: projected?.y ?? h };
  }

  /** Accumulates the gradients for dy [batch, width], which it frees, and ends the pass. */
  async backward(tower: TowerPass, dy: Tensor, dropout: Dropout | null): Promise<void> {
    const { body, pool } = this;
    const { pass, pooled } = tower;
    const wantsPooled = body.trains || (pool.kind === 'attention' && isPoolTrained(pool.weights));
    const dPooled = await this.projectionBackward(tower, dy, { wantsPooled, dropout });
    const dh =
      dPooled && pooled && pool.kind === 'attention'
        ? await poolBackward({ ops: body.ops, dropout }, pool.weights, pooled.saved, {
            dy: dPooled,
            wantsInput: body.trains,
          })
        : dPooled;
    this.freeOutputs(tower, dPooled !== null);
    if (dh) await body.backward(pass, dh);
    else body.release(pass);
  }

  /** Ends a pass without a backward pass. */
  release(tower: TowerPass): void {
    this.freeOutputs(tower, false);
    this.body.release(tower.pass);
  }

  /** The gradient of what is projected, if it is wanted; frees dy unless it returns it. */
  private async projectionBackward(
    { pass, pooled, projected }: TowerPass,
    dy: Tensor,
    { wantsPooled, dropout }: { readonly wantsPooled: boolean; readonly dropout: Dropout | null },
  ): Promise<Tensor | null> {
    const { projection, body } = this;
    const { ops } = body;
    if (projection && projected) {
      const gradient = { dy, x: pooled?.y ?? pass.h, saved: projected };
      const terms = await linearBackward({ ops, dropout }, projection, gradient, wantsPooled);
      ops.free(dy);
      return terms.length > 0 ? sumAndFree(ops, terms) : null;
    }
    if (wantsPooled) return dy;
    ops.free(dy);
    return null;
  }

  /** Frees what the tower has beside the pass of its body. */
  private freeOutputs({ pooled, projected, y }: TowerPass, isPoolFreed: boolean): void {
    const { ops } = this.body;
    if (projected) ops.free(y, ...savedTensors(projected));
    if (!pooled) return;
    ops.free(pooled.y);
    if (!isPoolFreed) freePoolSaved(ops, pooled.saved);
  }

  get trains(): boolean {
    const { body, pool, projection } = this;
    return (
      body.trains ||
      (projection !== null && isLinearTrained(projection)) ||
      (pool.kind === 'attention' && isPoolTrained(pool.weights))
    );
  }
}

/** The position of each sequence that becomes its vector; null: all are read. */
function selectedRows(pool: Pool, { batch, length, input_ids }: ModelInput): Int32Array | null {
  if (pool.kind === 'attention') return null;
  const positionIn = (row: number): number => {
    if (pool.kind !== 'end') return pool.kind === 'first' ? 0 : length - 1;
    const ids = input_ids.subarray(row * length, (row + 1) * length);
    const end = pool.end ?? ids.reduce((largest, id) => Math.max(largest, id), 0);
    return Math.max(0, ids.indexOf(end)); // as transformers: the first position if there is none
  };
  return Int32Array.from({ length: batch }, (_, row) => row * length + positionIn(row));
}
