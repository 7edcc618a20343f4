import type { Adapters, LoraModule, ModelContext } from '../adapters';
import { columnDots, downloadAndFree, thenFree, type Tensor } from '../ops/ops';
import { addInto } from '../training/parameters';
import type { WeightTensor } from '../weightTensor';

/** What `AdaptedTable` has in the backend's memory. */
interface TableFactors {
  readonly A: Tensor; // [rows, r]
  readonly B: Tensor; // [d, r], scaled
  /** DoRA: magnitude / ‖column of E + dW‖. */
  readonly factor: Tensor | null; // [d]
  /** DoRA: 1 / ‖column of E + dW‖. */
  readonly inverseNorms: Float32Array | null;
}

/** An embedding table of the base. */
interface BaseTable {
  readonly table: WeightTensor; // [rows, d]
  /** See `TableSpec`. */
  readonly padding?: number | undefined;
}

/**
 * A LoRA module on an embedding table E [rows, d], as PEFT adapts one: y = E[id] + scaling · A[:,
 * id]ᵀ Bᵀ, times DoRA's factor for each column. Owns its tensors.
 */
export class AdaptedTable {
  private constructor(
    private readonly context: ModelContext,
    private readonly module: LoraModule,
    private readonly base: BaseTable,
    private factors: TableFactors,
  ) {}

  /** Does not take over the table. */
  static async of(
    context: ModelContext,
    module: LoraModule,
    base: BaseTable,
  ): Promise<AdaptedTable> {
    const factors = await uploadFactors(context, module, base.table);
    return new AdaptedTable(context, module, base, factors);
  }

  get trains(): boolean {
    return this.module.number !== null;
  }

  get factor(): Tensor | null {
    return this.factors.factor;
  }

  /** What the module adds to the rows at `indices` [n], before DoRA's factor. [n, d] */
  lookUp(indices: Tensor): Tensor {
    const { ops } = this.context;
    const down = ops.gather(this.factors.A, indices); // [n, r]
    return thenFree(ops, ops.matMul(down, this.factors.B, false, true), down);
  }

  /** To be called when the adapters have changed. */
  async refresh(rescaled: boolean): Promise<void> {
    if (!this.trains && !rescaled) return;
    this.dispose();
    this.factors = await uploadFactors(this.context, this.module, this.base.table);
  }

  /**
   * Accumulates the gradients for dy [n, d], which is not freed. `z`: the sum before DoRA's factor.
   */
  async backward(ids: Int32Array, z: Tensor | null, dy: Tensor): Promise<void> {
    const { ops, adapters } = this.context;
    const { module } = this;
    const { A, B, factor } = this.factors;
    if (module.A.kind === 'frozen' || module.B.kind === 'frozen') return;
    if (z) await this.accumulateMagnitude(z, dy);
    const dz = factor ? ops.mul(dy, factor) : dy;
    const indices = ops.upload(ids, [ids.length]);
    const down = thenFree(ops, ops.gather(A, indices), indices); // [n, r]
    const dB = thenFree(ops, ops.matMul(dz, down, true), down); // [d, r]
    const dDown = ops.matMul(dz, B); // [n, r]
    const { parameters } = adapters;
    const scaling = adapters.scalingOf(module);
    addInto(parameters.gradient(module.B.parameter), await ops.download(dB), scaling);
    const byToken = await ops.download(dDown);
    ops.free(dB, dDown, ...(dz === dy ? [] : [dz]));
    const { r, in_features: rows } = module;
    const gradientA = parameters.gradient(module.A.parameter); // [r, rows]
    ids.forEach((id, n) => {
      if (id === this.base.padding) return;
      for (let j = 0; j < r; j++) gradientA[j * rows + id]! += byToken[n * r + j]!;
    });
  }

  dispose(): void {
    const { A, B, factor } = this.factors;
    this.context.ops.free(A, B, ...(factor ? [factor] : []));
  }

  private async accumulateMagnitude(z: Tensor, dy: Tensor): Promise<void> {
    const { ops, adapters } = this.context;
    const { magnitude } = this.module;
    const { inverseNorms } = this.factors;
    if (magnitude?.kind !== 'trained' || !inverseNorms) return;
    const byColumn = await downloadAndFree(ops, columnDots(ops, dy, z));
    const gradient = adapters.parameters.gradient(magnitude.parameter);
    byColumn.forEach((sum, i) => (gradient[i]! += sum * inverseNorms[i]!));
  }
}

async function uploadFactors(
  { ops, adapters }: ModelContext,
  module: LoraModule,
  table: WeightTensor,
): Promise<TableFactors> {
  const { r, in_features: rows, out_features } = module;
  const A = ops.upload(transposedA(adapters, module), [rows, r]);
  const scaling = adapters.scalingOf(module);
  const scaledB = adapters.read(module.B).map((b) => scaling * b);
  const B = ops.upload(scaledB, [out_features, r]);
  if (!module.magnitude) return { A, B, factor: null, inverseNorms: null };
  const delta = ops.matMul(A, B, false, true); // [rows, d]
  const adapted = thenFree(
    ops,
    table.use((numbers) => ops.add(numbers, delta)),
    delta,
  );
  const sums = thenFree(ops, columnDots(ops, adapted, adapted), adapted);
  const inverseNorms = (await downloadAndFree(ops, sums)).map((s) => 1 / Math.sqrt(s));
  const factors = adapters.read(module.magnitude).map((m, i) => m * inverseNorms[i]!);
  return { A, B, inverseNorms, factor: ops.upload(factors, [out_features]) };
}

/** Aᵀ [rows, r], so that A[:, id] is a row. */
function transposedA(adapters: Adapters, { A, r, in_features: rows }: LoraModule): Float32Array {
  const a = adapters.read(A); // [r, rows]
  return Float32Array.from({ length: rows * r }, (_, i) => a[(i % r) * rows + Math.floor(i / r)]!);
}
