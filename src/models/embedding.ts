import type { AdapterState } from './adapterState';
import { use, type Ops, type Tensor } from './ops/types';

/** The lookup of token ids, with LoRA as PEFT adapts an embedding: y = E[id] + scaling · (A[:, id])ᵀ Bᵀ. A tied head stays as it is. */
export class Embedding {
  private A: Tensor | null = null; // [vocab, r]
  private B: Tensor | null = null; // [d, r], scaled
  private readonly own: ReturnType<AdapterState['moduleAt']>;

  constructor(private readonly ops: Ops, readonly weight: Tensor, private readonly state: AdapterState, readonly path: string) {
    this.own = state.moduleAt(path);
    this.refresh();
  }

  get adapted(): boolean {
    return this.own !== null;
  }

  /** ids [n] -> [n, d] */
  forward(ids: Int32Array): Tensor {
    const { ops, A, B } = this;
    const indices = ops.upload(ids, [ids.length]);
    const base = ops.gather(this.weight, indices);
    if (!A || !B) return use(ops, base, indices);
    const down = use(ops, ops.gather(A, indices), indices); // [n, r]
    const up = use(ops, ops.matMul(down, B, false, true), down); // [n, d]
    return use(ops, ops.add(base, up), base, up);
  }

  /** Adds the gradients of A and B for dx [n, d], which it frees. */
  async backward(ids: Int32Array, dx: Tensor): Promise<void> {
    const { ops, own, A, B } = this;
    if (own && A && B) {
      const { r, in_features: vocab, scaling } = own.factors;
      const indices = ops.upload(ids, [ids.length]);
      const down = use(ops, ops.gather(A, indices), indices);
      const dB = ops.matMul(dx, down, true); // [d, r]
      const dDown = ops.matMul(dx, B); // [n, r]
      const [bySide, byToken] = await Promise.all([ops.download(dB), ops.download(dDown)]);
      ops.free(down, dB, dDown);
      const gradientB = this.state.gradientB(own.module);
      bySide.forEach((g, i) => (gradientB[i]! += scaling * g));
      const gradientA = this.state.gradientA(own.module);
      ids.forEach((id, n) => {
        for (let j = 0; j < r; j++) gradientA[j * vocab + id]! += byToken[n * r + j]!;
      });
    }
    ops.free(dx);
  }

  /** Makes the tensors anew after the adapter has changed. */
  refresh(): void {
    if (!this.own) return;
    const { module, factors: { r, in_features: vocab, out_features, scaling } } = this.own;
    this.dispose();
    const A = this.state.viewA(module);
    this.A = this.ops.upload(Float32Array.from({ length: vocab * r }, (_, i) => A[(i % r) * vocab + Math.floor(i / r)]!), [vocab, r]);
    this.B = this.ops.upload(this.state.viewB(module).map((b) => scaling * b), [out_features, r]);
  }

  dispose(): void {
    this.ops.free(...[this.A, this.B].filter((t) => t !== null));
    this.A = this.B = null;
  }
}
