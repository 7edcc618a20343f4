import type { PositionsSpec, TokenEmbeddingSpec } from '../../formats/architecture/spec';
import type { ModelContext } from '../adapters';
import type { Dropout } from '../layers/dropout';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  savedTensors,
  type Computation,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import {
  normBackwardAndFree,
  normForward,
  statsTensors,
  type Norm,
  type NormSaved,
} from '../layers/norm';
import type { ModelInput } from '../model';
import { castAndFree, sumAndFree, thenFree, type Shape, type Tensor } from '../ops/ops';
import { NO_ROW, type WeightTensor } from '../weightTensor';
import { AdaptedTable } from './adaptedTable';
import type { EmbeddingLayer } from './embeddingLayer';
import { neftuneNoise } from './neftune';

export interface TokenTables {
  readonly tokens: WeightTensor; // [vocab, d]
  readonly positions: WeightTensor | null; // [positions, d]
  readonly types: WeightTensor | null; // [types, d]
  readonly norm: Norm | null;
  /** After the norm; null: none. */
  readonly projection: Linear | null; // [hidden, d]
}

interface ProjectionSaved {
  readonly x: Tensor; // [n, d]
  readonly linear: LinearSaved;
}

interface TokenSaved {
  readonly norm: NormSaved | null;
  readonly projection: ProjectionSaved | null;
  /** DoRA: E[id] + LoRA before the factor. */
  readonly z: Tensor | null; // [n, d]
}

/** Token ids to vectors. LoRA on the table does not adapt an output layer that is tied to it. */
export class TokenEmbedding implements EmbeddingLayer<TokenSaved> {
  private constructor(
    private readonly context: ModelContext,
    private readonly spec: TokenEmbeddingSpec,
    private readonly tables: TokenTables,
    private readonly adapted: readonly AdaptedTable[],
  ) {}

  /** Does not take over the tables. */
  static async of(
    context: ModelContext,
    spec: TokenEmbeddingSpec,
    tables: TokenTables,
  ): Promise<TokenEmbedding> {
    const adapted: AdaptedTable[] = [];
    for (const module of context.adapters.modulesAt(spec.tokens.path)) {
      const base = { table: tables.tokens, padding: spec.tokens.padding };
      const table = await AdaptedTable.of(context, module, base);
      context.adapters.onChange((rescaled) => table.refresh(rescaled));
      adapted.push(table);
    }
    return new TokenEmbedding(context, spec, tables, adapted);
  }

  get trains(): boolean {
    const { projection } = this.tables;
    return this.trainsTables || (projection !== null && isLinearTrained(projection));
  }

  /** Whether anything below the projection trains. */
  private get trainsTables(): boolean {
    const { tokens, positions, types, norm } = this.tables;
    const weights = [tokens, positions, types, norm?.weight, norm?.bias];
    return (
      this.adapted.some((table) => table.trains) || weights.some((weight) => weight?.gradientSink)
    );
  }

  forward(
    input: ModelInput,
    keep: boolean,
    dropout: Dropout | null = null,
  ): { readonly x: Tensor; readonly saved: TokenSaved } {
    const { ops } = this.context;
    const { norm, projection } = this.tables;
    const { x: sum, z } = this.sumOfTables(input);
    const normed = norm && normForward(ops, norm, sum);
    const inner = normed?.h ?? sum;
    const projected = projection && linearForward({ ops, dropout }, projection, inner);
    const saved: TokenSaved = {
      norm: normed && { x: sum, stats: normed.stats },
      projection: projected && { x: inner, linear: projected.saved },
      z,
    };
    const x = projected?.y ?? inner;
    if (keep) return { x, saved };
    this.release(saved);
    return { x, saved: NOTHING_SAVED };
  }

  async backward(
    input: ModelInput,
    dx: Tensor,
    saved: TokenSaved,
    dropout: Dropout | null = null,
  ): Promise<void> {
    const { ops } = this.context;
    const { norm } = this.tables;
    const dInner = await this.projectionBackward({ ops, dropout }, dx, saved);
    if (dInner) {
      const dSum =
        norm && saved.norm ? await normBackwardAndFree(ops, norm, saved.norm, dInner) : dInner;
      if (this.trainsTables) await this.accumulate(input, dSum, saved);
      ops.free(dSum);
    }
    this.release(saved);
  }

  release({ norm, projection, z }: TokenSaved): void {
    const normTensors = norm ? [norm.x, ...statsTensors(norm.stats)] : [];
    const projected = projection ? [projection.x, ...savedTensors(projection.linear)] : [];
    this.context.ops.free(...normTensors, ...projected, ...(z ? [z] : []));
  }

  /** The gradient of what is projected; null if nothing below trains. Frees dx. */
  private async projectionBackward(
    computation: Computation,
    dx: Tensor,
    { projection: saved }: TokenSaved,
  ): Promise<Tensor | null> {
    const { ops } = computation;
    const { projection } = this.tables;
    if (!projection || !saved) return dx;
    const gradient = { dy: dx, x: saved.x, saved: saved.linear };
    const terms = await linearBackward(computation, projection, gradient, this.trainsTables);
    ops.free(dx);
    return terms.length > 0 ? sumAndFree(ops, terms) : null;
  }

  dispose(): void {
    for (const table of this.adapted) table.dispose();
  }

  /** The sum before the norm [n, d]; z: see `TokenSaved`. */
  private sumOfTables(input: ModelInput): { readonly x: Tensor; readonly z: Tensor | null } {
    const { ops } = this.context;
    const { spec, tables } = this;
    const { x: tokens, z } = this.lookUpTokens(input.input_ids);
    const scaled = spec.scale === 1 ? tokens : thenFree(ops, ops.scale(tokens, spec.scale), tokens);
    const terms = [scaled, ...this.noiseOf(input, tokens.shape)];
    if (tables.positions && spec.positions) {
      terms.push(this.lookUp(tables.positions, positionRows(input, spec.positions)));
    }
    if (tables.types) terms.push(this.lookUp(tables.types, typeRows(input)));
    return { x: terms.length === 1 ? scaled : thenFree(ops, ops.addN(terms), ...terms), z };
  }

  /** NEFTune's noise [n, d], which transformers adds to the scaled vectors. */
  private noiseOf(input: ModelInput, shape: Shape): Tensor[] {
    if (!input.noise) return [];
    return [this.context.ops.upload(neftuneNoise(input, shape[1]!, input.noise), shape)];
  }

  /** E[id] with LoRA [n, d]. */
  private lookUpTokens(ids: Int32Array): { readonly x: Tensor; readonly z: Tensor | null } {
    const { ops } = this.context;
    const { adapted, tables } = this;
    const indices = ops.upload(ids, [ids.length]);
    const rows = castAndFree(ops, tables.tokens.gather(indices), 'f32');
    const terms = [rows, ...adapted.map((table) => table.lookUp(indices))];
    ops.free(indices);
    const z = terms.length === 1 ? rows : thenFree(ops, ops.addN(terms), ...terms);
    const factor = adapted.find((table) => table.factor)?.factor;
    return factor ? { x: ops.mul(z, factor), z } : { x: z, z: null };
  }

  private lookUp(table: WeightTensor, rows: Int32Array): Tensor {
    const { ops } = this.context;
    const indices = ops.upload(rows, [rows.length]);
    return castAndFree(ops, thenFree(ops, table.gather(indices), indices), 'f32');
  }

  /** Accumulates the gradients of the tables and of LoRA. Does not free dSum [n, d]. */
  private async accumulate(input: ModelInput, dSum: Tensor, { z }: TokenSaved): Promise<void> {
    const { ops } = this.context;
    const { spec } = this;
    const { tokens, positions, types } = this.tables;
    if (positions?.gradientSink && spec.positions) {
      const { offset, skips } = spec.positions;
      const padding = skips === undefined ? undefined : offset - 1;
      const rows = rowsWithGradient(positionRows(input, spec.positions), padding);
      await positions.gradientSink.accumulateRows(rows, dSum);
    }
    if (types?.gradientSink) await types.gradientSink.accumulateRows(typeRows(input), dSum);
    const dTokens = spec.scale === 1 ? dSum : ops.scale(dSum, spec.scale);
    const ids = rowsWithGradient(input.input_ids, spec.tokens.padding);
    await tokens.gradientSink?.accumulateRows(ids, dTokens);
    for (const table of this.adapted) {
      if (table.trains) await table.backward(input.input_ids, z, dTokens);
    }
    if (dTokens !== dSum) ops.free(dTokens);
  }
}

/** The rows, with NO_ROW instead of that of padding, which has no gradient. */
const rowsWithGradient = (rows: Int32Array, padding: number | undefined): Int32Array =>
  padding === undefined ? rows : rows.map((row) => (row === padding ? NO_ROW : row));

/** Row of the position table for each token. */
function positionRows(input: ModelInput, { offset, skips }: PositionsSpec): Int32Array {
  const { length, position_ids, input_ids } = input;
  if (skips !== undefined && !position_ids) return skippingRows(input, offset, skips);
  return Int32Array.from(
    { length: input_ids.length },
    (_, i) => offset + (position_ids ? position_ids[i]! : i % length),
  );
}

/** Positions count the tokens that are not skipped (fairseq's make_positions). */
function skippingRows(
  { length, input_ids }: ModelInput,
  offset: number,
  skips: number,
): Int32Array {
  let next = offset;
  return input_ids.map((id, i) => {
    if (i % length === 0) next = offset;
    return id === skips ? offset - 1 : next++;
  });
}

const NOTHING_SAVED: TokenSaved = { norm: null, projection: null, z: null };

const typeRows = ({ input_ids, token_type_ids }: ModelInput): Int32Array =>
  token_type_ids ?? new Int32Array(input_ids.length);
