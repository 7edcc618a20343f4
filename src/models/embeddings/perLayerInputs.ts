import type { PerLayerSpec } from '../../formats/architecture/spec';
import type { Dropout } from '../layers/dropout';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  savedTensors,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import {
  isNormTrained,
  normBackwardAndFree,
  normForward,
  statsTensors,
  type Norm,
  type NormSaved,
} from '../layers/norm';
import type { ModelInput } from '../model';
import { castAndFree, sumAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';
import type { EmbeddingLayer } from './embeddingLayer';

interface PerLayerParts {
  readonly table: EmbeddingLayer<unknown>;
  readonly projection: Linear;
  readonly norm: Norm;
}

/** What the backward pass needs of the forward pass. */
export interface PerLayerInputsSaved {
  /** The token embeddings. */
  readonly x: Tensor; // [n, d]
  readonly linear: LinearSaved;
  readonly norm: NormSaved; // [n · layers, width]
  readonly table: unknown;
}

/** The vectors of each layer in one pass, and their gradients where these are wanted. */
export interface PerLayerPass {
  readonly inputs: readonly Tensor[]; // [n, width] each
  readonly gradients: (Tensor | null)[] | null;
}

export function freePerLayerPass(ops: Ops, { inputs, gradients }: PerLayerPass): void {
  ops.free(...inputs, ...(gradients ?? []).filter((own) => own !== null));
}

/** Of the sum of two terms. */
const SUM_SCALE = Math.SQRT1_2;

/** See `PerLayerSpec`. */
export class PerLayerInputs {
  constructor(
    private readonly ops: Ops,
    private readonly spec: PerLayerSpec,
    private readonly layers: number,
    private readonly parts: PerLayerParts,
  ) {}

  get trains(): boolean {
    return this.parts.table.trains || this.trainsProjection;
  }

  private get trainsProjection(): boolean {
    return isLinearTrained(this.parts.projection) || isNormTrained(this.parts.norm);
  }

  /** The vectors of each layer for those of the tokens x [n, d], which is not freed. */
  forward(
    input: ModelInput,
    x: Tensor,
    keep: boolean,
    dropout: Dropout | null = null,
  ): { readonly pass: PerLayerPass; readonly saved: PerLayerInputsSaved | null } {
    const { ops, spec, layers } = this;
    const { table, projection, norm } = this.parts;
    const n = x.shape[0]!;
    const found = table.forward(withoutNoise(input), keep, dropout); // [n, layers · width]
    const { y, saved: linear } = linearForward({ ops, dropout }, projection, x);
    const wide = castAndFree(ops, y, 'f32');
    const scaled = thenFree(ops, ops.scale(wide, spec.projection_scale), wide);
    const rows = thenFree(ops, ops.reshape(scaled, [n * layers, spec.width]), scaled);
    const { h, stats } = normForward(ops, norm, rows);
    const ofProjection = thenFree(ops, ops.reshape(h, [n, layers * spec.width]), h);
    const sum = thenFree(ops, ops.add(ofProjection, found.x), ofProjection, found.x);
    const all = thenFree(ops, ops.scale(sum, SUM_SCALE), sum);
    const inputs = ops.split(all, new Array<number>(layers).fill(spec.width), 1);
    ops.free(all);
    const view = ops.reshape(x, x.shape);
    const saved = { x: view, linear, norm: { x: rows, stats }, table: found.saved };
    if (keep) {
      const gradients = new Array<Tensor | null>(layers).fill(null);
      return { pass: { inputs, gradients }, saved };
    }
    this.release(saved);
    return { pass: { inputs, gradients: null }, saved: null };
  }

  /**
   * The gradient of x for those of the vectors of each layer; null unless `wantsX`. Accumulates the
   * gradients of the trainable parameters. Frees what was saved.
   */
  async backward(
    input: ModelInput,
    { gradients }: PerLayerPass,
    saved: PerLayerInputsSaved,
    { wantsX, dropout }: { readonly wantsX: boolean; readonly dropout: Dropout | null },
  ): Promise<Tensor | null> {
    const { ops, spec, layers } = this;
    const { table } = this.parts;
    const all = ops.concat(
      (gradients ?? []).map((own) => own!),
      1,
    );
    const d = thenFree(ops, ops.scale(all, SUM_SCALE), all); // [n, layers · width]
    if (table.trains) {
      const ofTable = ops.reshape(d, d.shape);
      await table.backward(withoutNoise(input), ofTable, saved.table, dropout);
    } else table.release(saved.table);
    const rows = thenFree(ops, ops.reshape(d, [d.shape[0]! * layers, spec.width]), d);
    const dx = await this.projectionBackward(rows, saved, { wantsX, dropout });
    this.releaseProjection(saved);
    return dx;
  }

  release(saved: PerLayerInputsSaved): void {
    this.parts.table.release(saved.table);
    this.releaseProjection(saved);
  }

  /** Frees dRows [n · layers, width]. */
  private async projectionBackward(
    dRows: Tensor,
    saved: PerLayerInputsSaved,
    { wantsX, dropout }: { readonly wantsX: boolean; readonly dropout: Dropout | null },
  ): Promise<Tensor | null> {
    const { ops, spec } = this;
    const { projection, norm } = this.parts;
    if (!wantsX && !this.trainsProjection) {
      ops.free(dRows);
      return null;
    }
    const dScaled = await normBackwardAndFree(ops, norm, saved.norm, dRows);
    const dProduct = thenFree(ops, ops.scale(dScaled, spec.projection_scale), dScaled);
    const shape = [saved.x.shape[0]!, projection.weight.shape[0]!];
    const dy = thenFree(ops, ops.reshape(dProduct, shape), dProduct);
    const gradient = { dy, x: saved.x, saved: saved.linear };
    const terms = await linearBackward({ ops, dropout }, projection, gradient, wantsX);
    ops.free(dy);
    return wantsX ? sumAndFree(ops, terms) : null;
  }

  private releaseProjection({ x, linear, norm }: PerLayerInputsSaved): void {
    this.ops.free(x, ...savedTensors(linear), norm.x, ...statsTensors(norm.stats));
  }
}

/** NEFTune's noise is only on the token embeddings. */
function withoutNoise(input: ModelInput): ModelInput {
  const plain: { noise?: unknown } & ModelInput = { ...input };
  delete plain.noise;
  return plain;
}
