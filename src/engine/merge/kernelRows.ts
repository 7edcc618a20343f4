import type { DType } from '../../formats/tensorInfo';
import type { TensorMerger } from '../../lora/merge';
import type { StackedProduct } from '../../lora/stackedProduct';
import {
  isKernelDType,
  KERNEL_BYTES,
  type KernelDType,
  type MergeKernel,
} from '../../models/ops/mergeKernel';
import type { RoundingFacts } from './roundingFacts';
import type { SourceTensor } from './source';

/** Bytes of a weight that a kernel gets at once: few, since they are copied. */
const BLOCK_BYTES = 4 * 2 ** 20;

/** A weight that a kernel merges. */
interface ByKernel {
  readonly kernel: MergeKernel;
  readonly product: StackedProduct;
  readonly form: { readonly from: KernelDType; readonly to: KernelDType; readonly columns: number };
  readonly rows: number;
  readonly readStored: NonNullable<SourceTensor['readStored']>;
}

/** How a kernel merges a weight; null where none can. */
export function kernelOf(
  { dtype: from, shape, readStored }: SourceTensor,
  merger: TensorMerger,
  { kernel, dtype: to }: { readonly kernel: MergeKernel | null; readonly dtype: DType },
): ByKernel | null {
  if (!kernel || !readStored || !isKernelDType(from) || !isKernelDType(to)) return null;
  const product = merger.product?.();
  if (!product) return null;
  const { columns } = merger;
  const rows = shape.reduce((a, b) => a * b, 1) / columns;
  return { kernel, product, form: { from, to, columns }, rows, readStored };
}

/**
 * The merged rows, as they are stored.
 *
 * @param merged Merges some rows without the kernel: it names the number that is not finite.
 */
export async function* kernelBlocks(
  { kernel, product, form, rows, readStored }: ByKernel,
  facts: RoundingFacts,
  merged: (row: number, count: number) => Promise<ArrayBufferView>,
): AsyncGenerator<ArrayBufferView> {
  const rowBytes = form.columns * KERNEL_BYTES[form.from];
  const step = Math.max(1, Math.floor(BLOCK_BYTES / rowBytes));
  const { merge, close } = kernel.open(product, form);
  try {
    for (let row = 0; row < rows; row += step) {
      const count = Math.min(step, rows - row);
      const stored = await readStored(row * rowBytes, count * rowBytes);
      const done = merge({ stored, b: product.rowsOfB(row, count) });
      if (done.isFinite) {
        facts.addMerged(done, count * form.columns);
        yield done.stored;
      } else {
        yield await merged(row, count);
      }
    }
  } finally {
    close();
  }
}
