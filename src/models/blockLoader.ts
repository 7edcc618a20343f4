import { BlockMemory } from './blockMemory';
import type { Ops, Precision } from './ops/ops';
import type { MatrixPart, Placements } from './placements';
import { QuantizedMatrix } from './quantizedMatrix';
import { DenseWeight, type WeightTensor } from './weightTensor';

interface BlockForm {
  /** Whether frozen matrices stay in the blocks of the checkpoint; else their numbers are kept. */
  readonly keeps: boolean;
  /** Of the numbers. */
  readonly dtype: Precision;
}

/** Reads frozen matrices in the blocks of a checkpoint, which need kernels. One at a time. */
export class BlockLoader {
  private readonly memory: BlockMemory;

  constructor(
    private readonly ops: Ops,
    private readonly placements: Placements,
    private readonly form: BlockForm,
  ) {
    this.memory = new BlockMemory(ops, form.keeps);
  }

  /**
   * Registers the matrix in the places of its parts. The caller disposes of it.
   *
   * @returns null if the checkpoint does not store all of it in blocks that the kernels read.
   */
  async matrix(parts: readonly MatrixPart[], width: number): Promise<WeightTensor | null> {
    const { ops, placements, form } = this;
    const stored = await placements.blockRows(parts, width, this.memory);
    if (!stored) return null;
    const rows = stored.map(({ data, shape, type }) => ({
      blocks: ops.upload(data, shape),
      type,
      width,
    }));
    const quantized = new QuantizedMatrix(ops, rows, form.dtype);
    const weight = form.keeps ? quantized : this.numbersOf(quantized);
    placements.register(
      parts.map(({ name }) => name),
      weight,
    );
    return weight;
  }

  /** Its numbers, computed by the kernels; it is disposed of. */
  private numbersOf(quantized: QuantizedMatrix): DenseWeight {
    const { ops, form, memory } = this;
    const weight = new DenseWeight(ops, quantized.numbers(form.dtype), null);
    quantized.dispose();
    memory.reuse();
    return weight;
  }
}
