import type { Products } from '../shared/products';
import type { BlockRows } from './ops/blockRows';
import type { FusedOps } from './ops/fusedOps';
import { concatAndFree, thenFree, type Ops, type Precision, type Tensor } from './ops/ops';
import type { QuantizedWeight, WeightTensor } from './weightTensor';

/** Numbers of a matrix that are kept while several products need them, in bytes. */
const MOST_KEPT_BYTES = 256 << 20;

/**
 * A frozen matrix in the blocks of its file. Its numbers exist only during a product; each is what
 * `dequantise` of src/formats/gguf gives, in f32 or rounded to bf16.
 */
export class QuantizedMatrix implements WeightTensor, QuantizedWeight {
  readonly gradientSink = null;
  readonly quantized = this;
  readonly shape: readonly [rows: number, width: number];
  private kept: { readonly numbers: Tensor; users: number } | null = null;
  private readonly fused: FusedOps;

  /** Takes ownership of the rows' blocks, which are below each other. */
  constructor(
    private readonly ops: Ops,
    readonly parts: readonly BlockRows[],
    readonly dtype: Precision,
  ) {
    const rows = parts.reduce((sum, { blocks }) => sum + blocks.shape[0]!, 0);
    this.shape = [rows, parts[0]!.width];
    this.fused = ops.fused!;
  }

  use<T>(compute: (numbers: Tensor) => T): T {
    if (this.kept) return compute(this.kept.numbers);
    const numbers = this.numbers(this.dtype);
    try {
      return compute(numbers);
    } finally {
      this.ops.free(numbers);
    }
  }

  keepNumbers(): () => void {
    const [rows, width] = this.shape;
    if (rows * width * (this.dtype === 'bf16' ? 2 : 4) > MOST_KEPT_BYTES) return () => undefined;
    this.kept ??= { numbers: this.numbers(this.dtype), users: 0 };
    this.kept.users++;
    return () => this.dropNumbers();
  }

  private dropNumbers(): void {
    if (!this.kept || --this.kept.users > 0) return;
    this.ops.free(this.kept.numbers);
    this.kept = null;
  }

  numbers(dtype: Precision): Tensor {
    const { ops, fused } = this;
    const [first, ...others] = this.parts as readonly [BlockRows, ...BlockRows[]];
    if (others.every(({ type }) => type === first.type)) {
      const blocks = this.parts.map((part) => part.blocks);
      return fused.dequantize(blocks, first, dtype);
    }
    const parts = this.parts.map((part) => fused.dequantize([part.blocks], part, dtype));
    return concatAndFree(ops, parts, 0);
  }

  gather(indices: Tensor): Tensor {
    const [part, ...others] = this.parts;
    if (!part || others.length > 0) return this.use((numbers) => this.ops.gather(numbers, indices));
    const blocks = this.ops.gather(part.blocks, indices);
    return thenFree(this.ops, this.fused.dequantize([blocks], part, this.dtype), blocks);
  }

  fewRows(x: Tensor, products: Products): Tensor {
    const { ops, fused } = this;
    const outputs = this.parts.map((part) => fused.fewRowsOfBlocks(x, part.blocks, part, products));
    return concatAndFree(ops, outputs, 1);
  }

  dispose(): void {
    this.ops.free(...this.parts.map(({ blocks }) => blocks));
    if (this.kept) this.ops.free(this.kept.numbers);
    this.kept = null;
  }
}
