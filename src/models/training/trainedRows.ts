import type { Adapters } from '../adapters';
import { WeightTensor, type GradientSink } from '../weightTensor';
import type { ProductSlot } from '../layers/loraBlock';
import type { Ops, Tensor } from '../ops/ops';
import type { Parameter } from './parameters';

interface Part extends ProductSlot {
  readonly parameter: Parameter;
}

/**
 * Tensors of the base that train beside LoRA (biases, modules_to_save) where they lie: rows of a
 * product's weight or bias.
 */
export class TrainedRows implements GradientSink {
  private constructor(
    private readonly ops: Ops,
    private readonly adapters: Adapters,
    private readonly parts: readonly Part[],
    private readonly width: number,
    private readonly transposed: boolean,
  ) {}

  /**
   * Null where none trains. `kind`: which tensor of the layers; width: numbers a row; `transposed`:
   * the file has them as columns.
   */
  static of(
    ops: Ops,
    adapters: Adapters,
    slots: readonly ProductSlot[],
    kind: 'weight' | 'bias',
    width: number,
    transposed = false,
  ): TrainedRows | null {
    const parts = slots.flatMap((slot): Part[] => {
      const parameter = adapters.trained(`${slot.path}.${kind}`);
      return parameter ? [{ ...slot, parameter }] : [];
    });
    return parts.length === 0 ? null : new TrainedRows(ops, adapters, parts, width, transposed);
  }

  /**
   * The whole product's tensor with the present numbers in `data`, made anew whenever they change.
   */
  hold(data: Float32Array, shape: readonly number[]): WeightTensor {
    const { ops } = this;
    const upload = (numbers: Float32Array) => {
      this.write(numbers);
      return ops.upload(numbers, shape);
    };
    const held = new WeightTensor(ops, upload(data), this);
    this.adapters.onChange(() => {
      ops.free(held.tensor);
      held.tensor = upload(data.slice());
      return Promise.resolve();
    });
    return held;
  }

  private write(data: Float32Array): void {
    this.each(
      (parameter, at, own) => (data[at] = this.adapters.parameters.theta[parameter.offset + own]!),
    );
  }

  async accumulate(gradient: Tensor): Promise<void> {
    const data = await this.ops.download(gradient);
    this.ops.free(gradient);
    this.each(
      (parameter, at, own) =>
        (this.adapters.parameters.gradients[parameter.offset + own]! += data[at]!),
    );
  }

  async accumulateRows(rows: Int32Array, d: Tensor): Promise<void> {
    const data = await this.ops.download(d);
    for (const { parameter } of this.parts)
      // a table: one part, in its order
      addRows(this.adapters.parameters.gradient(parameter), rows, data, this.width);
  }

  private each(visit: (parameter: Parameter, at: number, own: number) => void): void {
    const { width } = this;
    for (const { parameter, row, rows, order } of this.parts) {
      const own_rows = parameter.size / width;
      for (let i = 0; i < rows; i++) {
        const own = order ? order[i]! : i;
        for (let j = 0; j < width; j++)
          visit(
            parameter,
            (row + i) * width + j,
            this.transposed ? j * own_rows + own : own * width + j,
          );
      }
    }
  }
}

/** Adds row n of `data` to row rows[n] of `table`. */
export function addRows(
  table: Float32Array,
  rows: Int32Array,
  data: Float32Array,
  width: number,
): void {
  rows.forEach((row, n) => {
    for (let j = 0; j < width; j++) table[row * width + j]! += data[n * width + j]!;
  });
}
