/** Of the types for Node, which know WebAssembly's kinds but not its constructors. */
declare const WebAssembly: {
  readonly Memory: new (size: { initial: number; maximum: number }) => {
    readonly buffer: ArrayBuffer;
  };
};

const PAGE = 1 << 16;
const CHUNK = 256 << 20;
const ALIGNMENT = 64;

/**
 * Room for tensors that libtensorflow takes over as it is, without a copy of its own: it does so
 * where the data begins at a multiple of 64 bytes (EIGEN_MAX_ALIGN_BYTES), as a WebAssembly memory
 * does and an ordinary ArrayBuffer does not. Pages that nothing is written to cost nothing.
 */
export class Arena {
  private bytes = new ArrayBuffer(0);
  private used = 0;

  /** A buffer and the place in it at which so many bytes are free. */
  take(size: number): [ArrayBuffer, number] {
    if (this.used + size > this.bytes.byteLength) {
      const pages = Math.ceil(Math.max(size, CHUNK) / PAGE);
      this.bytes = new WebAssembly.Memory({ initial: pages, maximum: pages }).buffer;
      this.used = 0;
    }
    const at = this.used;
    this.used += Math.ceil(size / ALIGNMENT) * ALIGNMENT;
    return [this.bytes, at];
  }
}
