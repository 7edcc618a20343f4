import type { ModelContext, TrainedTokenRows } from '../adapters';
import { castAndFree, downloadAndFree, thenFree, type Precision, type Tensor } from '../ops/ops';
import { DenseWeight, type GradientSink } from '../weightTensor';
import { addInto } from './parameters';

/**
 * Rows of an embedding or output layer that train, while the others are frozen (PEFT's
 * trainable_token_indices). The rows replace those of the table.
 */
export class TrainedTokens implements GradientSink {
  private constructor(
    private readonly context: ModelContext,
    private readonly trained: TrainedTokenRows,
  ) {}

  /** Null if no rows of the tensor train. */
  static of(context: ModelContext, name: string): TrainedTokens | null {
    const trained = context.adapters.trainedTokens(name);
    return trained && new TrainedTokens(context, trained);
  }

  get rows(): Int32Array {
    return this.trained.rows;
  }

  /** Takes over the frozen table [rows, width] and replaces its rows whenever they change. */
  hold(table: Tensor): DenseWeight {
    const { ops, adapters } = this.context;
    const weight = new DenseWeight(ops, this.withRows(table), this);
    adapters.onChange(() => {
      weight.tensor = this.withRows(weight.tensor);
      return Promise.resolve();
    });
    return weight;
  }

  async accumulate(gradient: Tensor): Promise<void> {
    const { ops, adapters } = this.context;
    const data = await downloadAndFree(ops, gradient);
    addInto(adapters.parameters.gradient(this.trained.parameter), data);
  }

  async accumulateRows(ids: Int32Array, d: Tensor): Promise<void> {
    const { ops, adapters } = this.context;
    const { rows, parameter } = this.trained;
    const places = new Map(Array.from(rows, (row, i) => [row, i]));
    if (!ids.some((id) => places.has(id))) return;
    const data = await ops.download(d);
    const width = d.shape[1]!;
    const gradient = adapters.parameters.gradient(parameter);
    ids.forEach((id, n) => {
      const place = places.get(id);
      if (place === undefined) return;
      for (let j = 0; j < width; j++) gradient[place * width + j]! += data[n * width + j]!;
    });
  }

  /** The table with the present rows, in its precision. Frees the table. */
  private withRows(table: Tensor): Tensor {
    const { ops, adapters } = this.context;
    const { rows, parameter } = this.trained;
    const places = ops.upload(rows.slice(), [rows.length, 1]);
    const numbers = adapters.parameters.value(parameter).slice();
    const exact = ops.upload(numbers, [rows.length, table.shape[1]!]);
    const values = castAndFree(ops, exact, table.dtype as Precision);
    return thenFree(ops, ops.scatter(table, places, values), table, places, values);
  }
}
