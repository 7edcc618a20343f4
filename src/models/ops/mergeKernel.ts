import { intAttr, TF_TYPE, type TfBinding } from './tfBinding';

/** The types of numbers that the kernel reads and writes, and their numbers there. */
const STORED = { F32: 0, BF16: 1, F16: 2 } as const;

/** A type that the kernel knows. */
export type KernelDType = keyof typeof STORED;

export const isKernelDType = (dtype: string): dtype is KernelDType => Object.hasOwn(STORED, dtype);

export const KERNEL_BYTES: Readonly<Record<KernelDType, number>> = { F32: 4, BF16: 2, F16: 2 };

/** What a weight gets: s·BA as a product. */
export interface KernelUpdate {
  readonly ranks: number;
  readonly stride: number;
  readonly A: Float32Array; // [ranks, stride]
}

/** Rows of a weight. */
export interface KernelRows {
  /** The numbers as they are stored. */
  readonly stored: Uint8Array;
  /** s·B of these rows. [rows, ranks] */
  readonly b: Float64Array;
}

/** What the kernel has done to some rows. */
export interface MergedRows {
  /** The rows as they are stored. */
  readonly stored: Uint8Array;
  /** The sum of the squares of all that was added. */
  readonly square: number;
  /** Largest difference between the sums and the stored numbers. */
  readonly largest: number;
  /** Sum of the squares of these differences. */
  readonly rounding: number;
  /** Elements to which exactly 0 was added. */
  readonly still: number;
  /** Elements that are stored as before. */
  readonly unchanged: number;
  /** Whether all numbers were finite, and are. */
  readonly isFinite: boolean;
}

/** Adds products to rows of a weight by the kernel of src/runtime/kernels/merge.cc. */
export class MergeKernel {
  private constructor(private readonly binding: TfBinding) {}

  /** Null if the binding was compiled without it. */
  static load(binding: TfBinding): MergeKernel | null {
    const kernel = new MergeKernel(binding);
    const form = { from: 'F32', to: 'F32', columns: 1 } as const;
    try {
      kernel.use({ ranks: 4, stride: 8, A: new Float32Array(32) }, form, (merge) =>
        merge({ stored: new Uint8Array(4), b: new Float64Array(4) }),
      );
      return kernel;
    } catch {
      return null;
    }
  }

  /** Calls `work` with what merges rows of one weight; it may be called until that returns. */
  use<T>(
    { ranks, stride, A }: KernelUpdate,
    form: { readonly from: KernelDType; readonly to: KernelDType; readonly columns: number },
    work: (merge: (rows: KernelRows) => MergedRows) => T,
  ): T {
    const open = this.open({ ranks, stride, A }, form);
    try {
      return work(open.merge);
    } finally {
      open.close();
    }
  }

  /** As `use`, for work that takes several turns. `close` frees what it holds. */
  open(
    { ranks, stride, A }: KernelUpdate,
    {
      from,
      to,
      columns,
    }: { readonly from: KernelDType; readonly to: KernelDType; readonly columns: number },
  ): { readonly merge: (rows: KernelRows) => MergedRows; readonly close: () => void } {
    const { binding } = this;
    const a = binding.createTensor([ranks, stride], TF_TYPE.float, A);
    const attrs = [
      intAttr('type', STORED[from]),
      intAttr('rounded', STORED[to]),
      intAttr('width', columns),
    ];
    const upload = (bytes: Uint8Array) =>
      binding.createTensor([bytes.length], TF_TYPE.uint8, bytes);
    const merge = ({ stored, b }: KernelRows): MergedRows => {
      const inputs: number[] = [];
      const outputs: number[] = [];
      try {
        for (const own of [stored, new Uint8Array(b.buffer, b.byteOffset, b.byteLength)])
          inputs.push(upload(own));
        for (const { id } of binding.executeOp('LoraMergeRows', attrs, [...inputs, a], 2))
          outputs.push(id);
        const [words, facts] = outputs.map((id) => binding.tensorDataSync(id));
        const length = (stored.length / KERNEL_BYTES[from]) * KERNEL_BYTES[to];
        return {
          stored: new Uint8Array(words!.buffer, words!.byteOffset, length),
          ...factsOf(facts!),
        };
      } finally {
        for (const id of [...inputs, ...outputs]) binding.deleteTensor(id);
      }
    };
    return { merge, close: () => binding.deleteTensor(a) };
  }
}

/** RowFacts of the kernel: six numbers of float64. */
function factsOf(words: { readonly buffer: ArrayBufferLike; readonly byteOffset: number }) {
  const bytes = new Uint8Array(words.buffer, words.byteOffset, 48).slice();
  const [square, largest, rounding, still, unchanged, notFinite] = new Float64Array(bytes.buffer);
  return {
    square: square!,
    largest: largest!,
    rounding: rounding!,
    still: still!,
    unchanged: unchanged!,
    isFinite: notFinite === 0,
  };
}
