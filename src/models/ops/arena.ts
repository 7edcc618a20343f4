/** The types for Node declare WebAssembly's kinds, but not its constructors. */
declare const WebAssembly: {
  readonly Memory: new (size: { initial: number; maximum: number }) => {
    readonly buffer: ArrayBuffer;
  };
};

const PAGE_BYTES = 1 << 16;
const CHUNK_BYTES = 256 << 20;
const ALIGNMENT = 64;
/** The largest WebAssembly memory. */
const MOST_BYTES = 65536 * PAGE_BYTES;

/** Whether libtensorflow can use this many f32 numbers in place: one memory holds them all. */
export const areInPlace = (numbers: number): boolean =>
  numbers * Float32Array.BYTES_PER_ELEMENT <= MOST_BYTES;

/**
 * Host memory for tensors that libtensorflow uses in place instead of copying: it does so if the
 * data is aligned to 64 bytes (EIGEN_MAX_ALIGN_BYTES). The buffer of a WebAssembly memory is, that
 * of an ordinary ArrayBuffer need not be. Pages that are never written to take no memory.
 */
export class Arena {
  private buffer = new ArrayBuffer(0);
  private used = 0;

  /** `most`: the most bytes of one buffer. */
  constructor(private readonly most = MOST_BYTES) {}

  /**
   * A buffer, and an aligned offset at which `bytes` bytes are free. If these are more than a
   * WebAssembly memory can have, an ordinary buffer, which libtensorflow copies.
   */
  take(bytes: number): [buffer: ArrayBuffer, offset: number] {
    if (bytes > this.most) return [new ArrayBuffer(bytes), 0];
    if (this.used + bytes > this.buffer.byteLength) {
      const chunk = Math.min(CHUNK_BYTES, this.most);
      const pages = Math.ceil(Math.max(bytes, chunk) / PAGE_BYTES);
      this.buffer = new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer;
      this.used = 0;
    }
    const offset = this.used;
    this.used += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    return [this.buffer, offset];
  }

  /**
   * Takes the memory of the present buffer again. What was taken of it must not be in use any more:
   * tensors of it are freed.
   */
  reuse(): void {
    this.used = 0;
  }
}
