import type { TokenEmbeddingSpec } from '../../formats/architecture/spec';
import type { ModelContext } from '../adapters';
import {
  normBackwardAndFree,
  normForward,
  statsTensors,
  type Norm,
  type NormSaved,
} from '../layers/norm';
import type { ModelInput } from '../model';
import { castAndFree, thenFree, type Shape, type Tensor } from '../ops/ops';
import type { WeightTensor } from '../weightTensor';
import { AdaptedTable } from './adaptedTable';
import type { EmbeddingLayer } from './embeddingLayer';
import { neftuneNoise } from './neftune';

export interface TokenTables {
  readonly tokens: WeightTensor; // [vocab, d]
  readonly positions: WeightTensor | null; // [positions, d]
  readonly types: WeightTensor | null; // [types, d]
  readonly norm: Norm | null;
}

interface TokenSaved {
  readonly norm: NormSaved | null;
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
      const table = await AdaptedTable.of(context, module, tables.tokens);
      context.adapters.onChange((rescaled) => table.refresh(rescaled));
      adapted.push(table);
    }
    return new TokenEmbedding(context, spec, tables, adapted);
  }

  get trains(): boolean {
    const { tokens, positions, types, norm } = this.tables;
    const weights = [tokens, positions, types, norm?.weight, norm?.bias];
    return (
      this.adapted.some((table) => table.trains) || weights.some((weight) => weight?.gradientSink)
    );
  }

  forward(input: ModelInput, keep: boolean): { readonly x: Tensor; readonly saved: TokenSaved } {
    const { ops } = this.context;
    const { tables } = this;
    const { x: sum, z } = this.sumOfTables(input);
    if (!keep && z) ops.free(z);
    const savedZ = keep ? z : null;
    if (!tables.norm) return { x: sum, saved: { norm: null, z: savedZ } };
    const { h, stats } = normForward(ops, tables.norm, sum);
    if (keep) return { x: h, saved: { norm: { x: sum, stats }, z: savedZ } };
    ops.free(sum, ...statsTensors(stats));
    return { x: h, saved: { norm: null, z: null } };
  }

  async backward(input: ModelInput, dx: Tensor, saved: TokenSaved): Promise<void> {
    const { ops } = this.context;
    const { norm } = this.tables;
    const dSum = norm && saved.norm ? await normBackwardAndFree(ops, norm, saved.norm, dx) : dx;
    if (this.trains) await this.accumulate(input, dSum, saved);
    ops.free(dSum);
    this.release(saved);
  }

  release({ norm, z }: TokenSaved): void {
    const normTensors = norm ? [norm.x, ...statsTensors(norm.stats)] : [];
    this.context.ops.free(...normTensors, ...(z ? [z] : []));
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
      terms.push(this.lookUp(tables.positions, positionRows(input, spec.positions.offset)));
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
      const rows = positionRows(input, spec.positions.offset);
      await positions.gradientSink.accumulateRows(rows, dSum);
    }
    if (types?.gradientSink) await types.gradientSink.accumulateRows(typeRows(input), dSum);
    const dTokens = spec.scale === 1 ? dSum : ops.scale(dSum, spec.scale);
    await tokens.gradientSink?.accumulateRows(input.input_ids, dTokens);
    for (const table of this.adapted) {
      if (table.trains) await table.backward(input.input_ids, z, dTokens);
    }
    if (dTokens !== dSum) ops.free(dTokens);
  }
}

/** Row of the position table for each token. RoBERTa's positions start at an offset. */
function positionRows({ batch, length, position_ids }: ModelInput, offset: number): Int32Array {
  return Int32Array.from(
    { length: batch * length },
    (_, i) => offset + (position_ids ? position_ids[i]! : i % length),
  );
}

const typeRows = ({ input_ids, token_type_ids }: ModelInput): Int32Array =>
  token_type_ids ?? new Int32Array(input_ids.length);
