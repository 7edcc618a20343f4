import type { Adapters } from './adapters';
import type { Slot } from './loraBlock';
import type { Ops, Tensor } from './ops/types';
import type { Parameter } from './parameters';

interface Part extends Slot {
  readonly parameter: Parameter;
}

/** Tensors of the base that train (biases, modules_to_save) where they lie: rows of a product's weight or bias. */
export class TrainedRows {
  private constructor(private readonly adapters: Adapters, private readonly parts: readonly Part[], private readonly width: number, private readonly transposed: boolean) {}

  /** Null where none trains. `kind`: which tensor of the layers; width: numbers a row; `transposed`: the file has them as columns. */
  static of(adapters: Adapters, slots: readonly Slot[], kind: 'weight' | 'bias', width: number, transposed = false): TrainedRows | null {
    const parts = slots.flatMap((slot): Part[] => {
      const parameter = adapters.trained(`${slot.path}.${kind}`);
      return parameter ? [{ ...slot, parameter }] : [];
    });
    return parts.length === 0 ? null : new TrainedRows(adapters, parts, width, transposed);
  }

  /** Puts the present numbers into `data`, the whole product's. */
  write(data: Float32Array): void {
    this.each((parameter, at, own) => (data[at] = this.adapters.parameters.theta[parameter.offset + own]!));
  }

  /** Adds the gradient of the whole product's tensor. */
  accumulate(gradient: Float32Array): void {
    this.each((parameter, at, own) => (this.adapters.parameters.gradients[parameter.offset + own]! += gradient[at]!));
  }

  private each(visit: (parameter: Parameter, at: number, own: number) => void): void {
    const { width } = this;
    for (const { parameter, row, rows, order } of this.parts) {
      const own_rows = parameter.size / width;
      for (let i = 0; i < rows; i++) {
        const own = order ? order[i]! : i;
        for (let j = 0; j < width; j++) visit(parameter, (row + i) * width + j, this.transposed ? j * own_rows + own : own * width + j);
      }
    }
  }
}

/** A tensor that is made anew whenever its trained rows change. */
export class Held {
  /** Without `trained`: as it is, for good. Bits of bf16 are frozen. */
  static frozen(ops: Ops, data: Float32Array | Uint16Array, shape: readonly number[]): Held {
    return new Held(ops, ops.upload(data, shape), null);
  }

  static of(ops: Ops, data: Float32Array, shape: readonly number[], trained: TrainedRows, adapters: Adapters): Held {
    trained.write(data);
    const held = new Held(ops, ops.upload(data, shape), trained);
    adapters.onChange(() => {
      ops.free(held.tensor);
      const next = data.slice();
      trained.write(next);
      held.tensor = ops.upload(next, shape);
      return Promise.resolve();
    });
    return held;
  }

  private constructor(private readonly ops: Ops, public tensor: Tensor, readonly trained: TrainedRows | null) {}

  dispose(): void {
    this.ops.free(this.tensor);
  }
}
