import { Arena } from './ops/arena';
import type { Ops } from './ops/ops';

/**
 * Host memory for the blocks of a checkpoint's matrices, which tensors use in place. Blocks whose
 * numbers alone stay have memory of their own: among weights that stay, they would stay, too, since
 * a chunk of memory lives as long as anything in it.
 */
export class BlockMemory {
  private readonly passing = new Arena();

  constructor(
    private readonly ops: Ops,
    /** Whether the blocks stay. */
    private readonly keepsBlocks: boolean,
  ) {}

  allocate(elements: number): Int32Array {
    if (this.keepsBlocks) return this.ops.allocateHostI32(elements);
    return new Int32Array(...this.passing.take(elements * Int32Array.BYTES_PER_ELEMENT), elements);
  }

  /** Uses the memory of blocks again whose tensors are freed. */
  reuse(): void {
    this.passing.reuse();
  }
}
