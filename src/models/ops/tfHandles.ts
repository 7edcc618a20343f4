import { Arena } from './arena';
import { TF_TYPE_OF, type TfAttr, type TfBinding } from './tfBinding';
import type { ElementType, Shape, Tensor } from './tensor';

interface TfTensor extends Tensor {
  readonly handle: number;
}

const handleOf = (x: Tensor): number => (x as TfTensor).handle;

/** Raw tensor handles of libtensorflow, and its operations on them: no tfjs tensors or scopes. */
export class TfHandles {
  private readonly alive = new Set<number>();
  private newest = 0;
  private readonly arena = new Arena();

  constructor(private readonly binding: TfBinding) {}

  /** Tensors alive now. */
  get count(): number {
    return this.alive.size;
  }

  /** For `freeSince`. */
  mark(): number {
    return this.newest;
  }

  /** Frees all tensors made since `mark` was taken. */
  freeSince(mark: number): void {
    for (const id of this.alive) {
      if (id > mark) this.release(id);
    }
  }

  /** See `Ops.allocateHostF32`. */
  allocateF32(elements: number): Float32Array {
    const bytes = elements * Float32Array.BYTES_PER_ELEMENT;
    return new Float32Array(...this.arena.take(bytes), elements);
  }

  /** See `Ops.allocateHostBF16`. */
  allocateBF16(elements: number): Uint16Array {
    const bytes = elements * Uint16Array.BYTES_PER_ELEMENT;
    return new Uint16Array(...this.arena.take(bytes), elements);
  }

  /** See `Ops.allocateHostI32`. */
  allocateI32(elements: number): Int32Array {
    const bytes = elements * Int32Array.BYTES_PER_ELEMENT;
    return new Int32Array(...this.arena.take(bytes), elements);
  }

  upload(data: Float32Array | Int32Array, shape: Shape): Tensor {
    const dtype = data instanceof Int32Array ? 'i32' : 'f32';
    const handle = this.track(this.binding.createTensor(shape, TF_TYPE_OF[dtype], data));
    return { handle, shape, dtype };
  }

  /** An empty tensor that lives as long as the process and is not counted. */
  uncountedEmpty(dtype: 'f32' | 'i32'): Tensor {
    const data = dtype === 'f32' ? new Float32Array(0) : new Int32Array(0);
    const handle = this.binding.createTensor([0], TF_TYPE_OF[dtype], data);
    return { handle, shape: [0], dtype };
  }

  /** Frees a tensor of `uncountedEmpty`. */
  freeUncounted(x: Tensor): void {
    this.binding.deleteTensor(handleOf(x));
  }

  /** The numbers of a tensor of f32. */
  read(x: Tensor): Float32Array {
    return this.binding.tensorDataSync(handleOf(x)) as Float32Array;
  }

  free(...tensors: readonly Tensor[]): void {
    for (const x of tensors) this.release(handleOf(x));
  }

  /** Runs an operation of one output, of type `dtype`. */
  run(
    op: string,
    attrs: readonly TfAttr[],
    dtype: ElementType,
    ...inputs: readonly Tensor[]
  ): Tensor {
    return this.runMany(op, attrs, inputs, [dtype])[0]!;
  }

  /** Runs an operation of several outputs, of types `dtypes`. */
  runMany(
    op: string,
    attrs: readonly TfAttr[],
    inputs: readonly Tensor[],
    dtypes: readonly ElementType[],
  ): Tensor[] {
    const results = this.binding.executeOp(op, attrs, inputs.map(handleOf), dtypes.length);
    return results.map(({ id, shape }, i) => ({
      handle: this.track(id),
      shape,
      dtype: dtypes[i]!,
    }));
  }

  private track(id: number): number {
    this.alive.add(id);
    this.newest = Math.max(this.newest, id);
    return id;
  }

  private release(id: number): void {
    this.binding.deleteTensor(id);
    this.alive.delete(id);
  }
}
