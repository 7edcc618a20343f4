import type { Ops, Tensor } from './ops';

/** Tensors that live until the end of one computation. */
export class Scope {
  private readonly tensors: Tensor[] = [];

  constructor(private readonly ops: Ops) {}

  /** x, which is freed at the end. */
  readonly own = (x: Tensor): Tensor => {
    this.tensors.push(x);
    return x;
  };

  /** Of several. */
  readonly ownAll = <T extends readonly Tensor[]>(all: T): T => {
    this.tensors.push(...all);
    return all;
  };

  free(): void {
    this.ops.free(...this.tensors.splice(0));
  }
}
