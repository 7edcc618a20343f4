import type { ModelContext } from '../adapters';
import type { ProductSlot } from '../layers/loraBlock';
import type { Tensor } from '../ops/ops';
import { DenseWeight, NO_ROW, type GradientSink } from '../weightTensor';
import type { Parameter } from './parameters';

interface TrainedPart extends ProductSlot {
  readonly parameter: Parameter;
}

interface TrainedRowsSpec {
  /** Which tensor of the layers. */
  readonly kind: 'weight' | 'bias';
  /** Elements per row. */
  readonly width: number;
  /** The file stores the matrix as its transpose. */
  readonly transposed?: boolean;
}

/** Visits an element by its index in the product, and by that in the parameter. */
type VisitElement = (parameter: Parameter, inProduct: number, inParameter: number) => void;

/**
 * Tensors of the base that train beside LoRA (biases, modules_to_save): rows of a product's weight
 * or bias.
 */
export class TrainedRows implements GradientSink {
  readonly rows = null;

  private constructor(
    private readonly context: ModelContext,
    private readonly parts: readonly TrainedPart[],
    private readonly spec: TrainedRowsSpec,
  ) {}

  /** Null if none of the layers' tensors trains. */
  static of(
    context: ModelContext,
    slots: readonly ProductSlot[],
    spec: TrainedRowsSpec,
  ): TrainedRows | null {
    const parts = slots.flatMap((slot): TrainedPart[] => {
      const parameter = context.adapters.trainedParameter(`${slot.path}.${spec.kind}`);
      return parameter ? [{ ...slot, parameter }] : [];
    });
    return parts.length === 0 ? null : new TrainedRows(context, parts, spec);
  }

  /**
   * The product's tensor, whose frozen numbers are in `data`. It is uploaded again whenever the
   * trained numbers change. The caller disposes of it.
   */
  hold(data: Float32Array, shape: readonly number[]): DenseWeight {
    const { ops, adapters } = this.context;
    const upload = (numbers: Float32Array) => {
      this.copyParametersTo(numbers);
      return ops.upload(numbers, shape);
    };
    const weight = new DenseWeight(ops, upload(data), this);
    adapters.onChange(() => {
      ops.free(weight.tensor);
      weight.tensor = upload(data.slice());
      return Promise.resolve();
    });
    return weight;
  }

  async accumulate(gradient: Tensor): Promise<void> {
    const { ops, adapters } = this.context;
    const { gradients } = adapters.parameters;
    const data = await ops.download(gradient);
    ops.free(gradient);
    this.forEachElement(({ offset }, inProduct, inParameter) => {
      gradients[offset + inParameter]! += data[inProduct]!;
    });
  }

  async accumulateRows(rows: Int32Array, d: Tensor): Promise<void> {
    const { ops, adapters } = this.context;
    const data = await ops.download(d);
    // Rows are looked up in a table, which is one part in its own order.
    for (const { parameter } of this.parts) {
      addRows(adapters.parameters.gradient(parameter), rows, data, this.spec.width);
    }
  }

  private copyParametersTo(data: Float32Array): void {
    const { theta } = this.context.adapters.parameters;
    this.forEachElement(({ offset }, inProduct, inParameter) => {
      data[inProduct] = theta[offset + inParameter]!;
    });
  }

  private forEachElement(visit: VisitElement): void {
    const { width, transposed } = this.spec;
    for (const { parameter, row, rows, order } of this.parts) {
      const parameterRows = parameter.size / width;
      for (let i = 0; i < rows; i++) {
        const own = order ? order[i]! : i;
        for (let j = 0; j < width; j++) {
          const inParameter = transposed ? j * parameterRows + own : own * width + j;
          visit(parameter, (row + i) * width + j, inParameter);
        }
      }
    }
  }
}

/** Adds row i of `data` to row rows[i] of `table`, but not to NO_ROW; rows have `width` numbers. */
export function addRows(
  table: Float32Array,
  rows: Int32Array,
  data: Float32Array,
  width: number,
): void {
  rows.forEach((row, n) => {
    if (row === NO_ROW) return;
    for (let j = 0; j < width; j++) table[row * width + j]! += data[n * width + j]!;
  });
}
