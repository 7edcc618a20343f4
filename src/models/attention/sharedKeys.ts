import type { KeysAndValues } from '../ops/fusedOps';
import { castAndFree, sumAndFree, type Ops, type Precision, type Tensor } from '../ops/ops';

interface SharedEntry extends KeysAndValues {
  gradient: KeysAndValues | null;
}

/** A second handle of the same numbers. */
const view = (ops: Ops, x: Tensor): Tensor => ops.reshape(x, x.shape);

const viewsOf = (ops: Ops, { k, v }: KeysAndValues): KeysAndValues => ({
  k: view(ops, k),
  v: view(ops, v),
});

/**
 * The keys and values of layers whose keys others above use, too, in one pass, and the gradients
 * from those. Owns its tensors.
 */
export class SharedKeys {
  private readonly byLayer = new Map<number, SharedEntry>();

  constructor(private readonly ops: Ops) {}

  /** Keeps those of a layer, unless it has them. */
  store(layer: number, keys: KeysAndValues): void {
    if (!this.byLayer.has(layer))
      this.byLayer.set(layer, { ...viewsOf(this.ops, keys), gradient: null });
  }

  /** Those of a layer, which the caller frees. */
  of(layer: number): KeysAndValues {
    return viewsOf(this.ops, this.byLayer.get(layer)!);
  }

  /** Adds to the gradient of a layer's keys and values. Takes ownership of it. */
  addGradient(layer: number, gradient: KeysAndValues): void {
    const entry = this.byLayer.get(layer)!;
    entry.gradient = this.sum(entry.gradient, gradient);
  }

  /** `own` plus what was added to the gradient of a layer. Takes ownership of `own`. */
  wholeGradient(layer: number, own: KeysAndValues): KeysAndValues {
    const entry = this.byLayer.get(layer)!;
    const sum = this.sum(entry.gradient, own);
    entry.gradient = null;
    return sum;
  }

  dispose(): void {
    for (const { k, v, gradient } of this.byLayer.values())
      this.ops.free(k, v, ...(gradient ? [gradient.k, gradient.v] : []));
    this.byLayer.clear();
  }

  private sum(a: KeysAndValues | null, b: KeysAndValues): KeysAndValues {
    if (!a) return b;
    const { ops } = this;
    const add = (x: Tensor, y: Tensor) => {
      const dtype = y.dtype as Precision;
      return castAndFree(ops, sumAndFree(ops, [x, y], null, dtype), dtype);
    };
    return { k: add(a.k, b.k), v: add(a.v, b.v) };
  }
}
