import type { TokenEmbeddingSpec } from '../../formats/architecture/spec';
import type { Adapters, LoraModule } from '../adapters';
import type { EmbeddingLayer } from './embeddingLayer';
import type { WeightTensor } from '../weightTensor';
import { normBackward, normForward, statsTensors, type Norm, type NormStats } from '../layers/norm';
import { columnSums, castAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';
import { addInto } from '../training/parameters';
import type { ModelInput } from '../model';

export interface TokenTables {
  readonly tokens: WeightTensor; // [vocab, d]
  readonly positions: WeightTensor | null; // [positions, d]
  readonly types: WeightTensor | null; // [types, d]
  readonly norm: Norm | null;
}

/** An adapted table: y = E[id] + scaling · (A[:, id])ᵀ Bᵀ, times DoRA's factor. */
interface Adapted {
  readonly module: LoraModule;
  A: Tensor; // [rows, r]
  B: Tensor; // [d, r], scaled
  factor: Tensor | null; // [d]
  inverseNorms: Float32Array | null;
}

interface Saved {
  readonly ids: Int32Array;
  readonly sum: Tensor | null;
  readonly stats: NormStats | null;
  /** DoRA: E[id] + LoRA before the factor. [n, d] */
  readonly z: Tensor | null;
}

/** Token ids to vectors, with LoRA as PEFT adapts an embedding. A tied head stays as it is. */
export class TokenEmbedding implements EmbeddingLayer<Saved> {
  private constructor(
    private readonly ops: Ops,
    private readonly spec: TokenEmbeddingSpec,
    private readonly tables: TokenTables,
    private readonly adapters: Adapters,
    private readonly adapted: readonly Adapted[],
  ) {}

  static async of(
    ops: Ops,
    spec: TokenEmbeddingSpec,
    tables: TokenTables,
    adapters: Adapters,
  ): Promise<TokenEmbedding> {
    const { path } = spec.tokens;
    const adapted: Adapted[] = [];
    for (const module of adapters.modulesAt(path))
      adapted.push({
        module,
        ...(await uploadFactors(ops, adapters, module, tables.tokens.tensor)),
      });
    const embedding = new TokenEmbedding(ops, spec, tables, adapters, adapted);
    if (adapted.length > 0) adapters.onChange((rescaled) => embedding.refresh(rescaled));
    return embedding;
  }

  get trains(): boolean {
    const { tokens, positions, types, norm } = this.tables;
    return (
      this.adapted.some((a) => a.module.number !== null) ||
      [tokens, positions, types, norm?.weight, norm?.bias].some((held) => held?.gradientSink)
    );
  }

  forward(input: ModelInput, keep: boolean): { readonly x: Tensor; readonly saved: Saved } {
    const { ops, spec, tables } = this;
    const ids = input.input_ids;
    const looked = this.lookUp(ids);
    const scaled =
      spec.scale === 1 ? looked.x : thenFree(ops, ops.scale(looked.x, spec.scale), looked.x);
    const terms = [scaled];
    if (tables.positions && spec.positions)
      terms.push(this.rowsOf(tables.positions, positionsOf(input, spec.positions.offset)));
    if (tables.types)
      terms.push(this.rowsOf(tables.types, input.token_type_ids ?? new Int32Array(ids.length)));
    const sum = terms.length === 1 ? terms[0]! : thenFree(ops, ops.addN(terms), ...terms);
    if (!keep && looked.z) ops.free(looked.z);
    const z = keep ? looked.z : null;
    if (!tables.norm) return { x: sum, saved: { ids, sum: null, stats: null, z } };
    const { h, stats } = normForward(ops, tables.norm, sum);
    if (keep) return { x: h, saved: { ids, sum, stats, z } };
    ops.free(sum, ...statsTensors(stats));
    return { x: h, saved: { ids, sum: null, stats: null, z: null } };
  }

  /** Adds the gradients for dx [n, d], which it frees with what was saved. */
  async backward(input: ModelInput, dx: Tensor, saved: Saved): Promise<void> {
    const { ops, tables, spec } = this;
    const d =
      tables.norm && saved.sum && saved.stats
        ? thenFree(ops, await normBackward(ops, tables.norm, saved.sum, saved.stats, dx, null), dx)
        : dx;
    if (this.trains) {
      if (tables.positions?.gradientSink && spec.positions)
        await tables.positions.gradientSink.accumulateRows(
          positionsOf(input, spec.positions.offset),
          d,
        );
      if (tables.types?.gradientSink)
        await tables.types.gradientSink.accumulateRows(
          input.token_type_ids ?? new Int32Array(saved.ids.length),
          d,
        );
      const own = spec.scale === 1 ? d : ops.scale(d, spec.scale);
      if (tables.tokens.gradientSink)
        await tables.tokens.gradientSink.accumulateRows(saved.ids, own);
      for (const adapted of this.adapted)
        if (adapted.module.number !== null) await this.adaptedBackward(adapted, saved, own);
      if (own !== d) ops.free(own);
    }
    ops.free(d);
    this.release(saved);
  }

  release({ sum, stats, z }: Saved): void {
    this.ops.free(...(sum ? [sum] : []), ...(stats ? statsTensors(stats) : []), ...(z ? [z] : []));
  }

  dispose(): void {
    for (const { A, B, factor } of this.adapted) this.ops.free(A, B, ...(factor ? [factor] : []));
  }

  private async refresh(rescaled: boolean): Promise<void> {
    for (const adapted of this.adapted) {
      if (adapted.module.number === null && !rescaled) continue;
      this.ops.free(adapted.A, adapted.B, ...(adapted.factor ? [adapted.factor] : []));
      Object.assign(
        adapted,
        await uploadFactors(this.ops, this.adapters, adapted.module, this.tables.tokens.tensor),
      );
    }
  }

  /** ids [n] -> [n, d] */
  private lookUp(ids: Int32Array): { readonly x: Tensor; readonly z: Tensor | null } {
    const { ops } = this;
    const indices = ops.upload(ids, [ids.length]);
    const terms = [castAndFree(ops, ops.gather(this.tables.tokens.tensor, indices), 'f32')];
    for (const { A, B } of this.adapted) {
      const down = ops.gather(A, indices); // [n, r]
      terms.push(thenFree(ops, ops.matMul(down, B, false, true), down));
    }
    ops.free(indices);
    const z = terms.length === 1 ? terms[0]! : thenFree(ops, ops.addN(terms), ...terms);
    const factor = this.adapted.find((a) => a.factor)?.factor;
    return factor ? { x: ops.mul(z, factor), z } : { x: z, z: null };
  }

  private rowsOf(table: WeightTensor, rows: Int32Array): Tensor {
    const indices = this.ops.upload(rows, [rows.length]);
    return castAndFree(
      this.ops,
      thenFree(this.ops, this.ops.gather(table.tensor, indices), indices),
      'f32',
    );
  }

  private async adaptedBackward(
    { module, A, B, factor, inverseNorms }: Adapted,
    { ids, z }: Saved,
    dy: Tensor,
  ): Promise<void> {
    const {
      ops,
      adapters: { parameters },
    } = this;
    const { r, in_features: vocab } = module;
    if (module.A.kind === 'frozen' || module.B.kind === 'frozen') return;
    if (module.magnitude?.kind === 'trained' && z && inverseNorms) {
      const product = ops.mul(dy, z);
      const sums = thenFree(ops, columnSums(ops, product), product);
      const by_column = await ops.download(sums);
      ops.free(sums);
      const into = parameters.gradient(module.magnitude.parameter);
      by_column.forEach((value, i) => (into[i]! += value * inverseNorms[i]!));
    }
    const dz = factor ? ops.mul(dy, factor) : dy;
    const indices = ops.upload(ids, [ids.length]);
    const down = thenFree(ops, ops.gather(A, indices), indices);
    const dB = thenFree(ops, ops.matMul(dz, down, true), down); // [d, r]
    const dDown = ops.matMul(dz, B); // [n, r]
    addInto(
      parameters.gradient(module.B.parameter),
      await ops.download(dB),
      this.adapters.scalingOf(module),
    );
    const byToken = await ops.download(dDown);
    ops.free(dB, dDown, ...(dz === dy ? [] : [dz]));
    const into = parameters.gradient(module.A.parameter);
    ids.forEach((id, n) => {
      for (let j = 0; j < r; j++) into[j * vocab + id]! += byToken[n * r + j]!;
    });
  }
}

/** Positions count from 0 over the whole row, or as the input says; RoBERTa's begin later. */
function positionsOf({ batch, length, position_ids }: ModelInput, offset: number): Int32Array {
  return Int32Array.from(
    { length: batch * length },
    (_, i) => offset + (position_ids ? position_ids[i]! : i % length),
  );
}

/**
 * A by token, B scaled; DoRA as PEFT computes it for embeddings: a magnitude for each column of E +
 * dW.
 */
async function uploadFactors(
  ops: Ops,
  adapters: Adapters,
  module: LoraModule,
  weight: Tensor,
): Promise<Omit<Adapted, 'module'>> {
  const { r, in_features: vocab, out_features } = module;
  const scaling = adapters.scalingOf(module);
  const a = adapters.read(module.A);
  const A = ops.upload(
    Float32Array.from({ length: vocab * r }, (_, i) => a[(i % r) * vocab + Math.floor(i / r)]!),
    [vocab, r],
  );
  const B = ops.upload(
    adapters.read(module.B).map((b) => scaling * b),
    [out_features, r],
  );
  if (!module.magnitude) return { A, B, factor: null, inverseNorms: null };
  const delta = ops.matMul(A, B, false, true); // [vocab, d]
  const whole = thenFree(ops, ops.add(weight, delta), delta);
  const squares = thenFree(ops, ops.mul(whole, whole), whole);
  const sums = thenFree(ops, columnSums(ops, squares), squares);
  const inverseNorms = (await ops.download(sums)).map((s) => 1 / Math.sqrt(s));
  ops.free(sums);
  const magnitude = adapters.read(module.magnitude);
  return {
    A,
    B,
    inverseNorms,
    factor: ops.upload(
      magnitude.map((m, i) => m * inverseNorms[i]!),
      [out_features],
    ),
  };
}
