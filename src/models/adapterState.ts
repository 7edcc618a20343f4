import { factorShape, tensorName } from '../formats/peft/names';
import type { Adapter, LoraFactors } from '../lora/types';
import type { Ops, Tensor } from './ops/types';
import type { NamedTensor } from './types';

/** One LoRA module within a fused product. */
export interface BlockPart {
  readonly factors: LoraFactors;
  /** Number of the module in the adapter: names its dropout. */
  readonly module: number;
  /** Where its rows start in the fused output, where its ranks start in the block. */
  readonly row: number;
  readonly rank: number;
  /** Row of the module's own output for each of its rows in the product; null: the same. */
  readonly order: Int32Array | null;
}

/** The LoRA modules of one (fused) linear layer as two matrices: x Aᵀ Bᵀ is their whole contribution, scaling included. */
export interface LoraBlock {
  readonly parts: readonly BlockPart[];
  readonly r: number;
  /** [r, in]: the modules' A, one below the other. */
  A: Tensor;
  /** [out, r]: scaling · B, block by block. */
  B: Tensor;
  readonly in_features: number;
  readonly out_features: number;
}

/** A linear layer within a fused product. */
export interface Slot {
  readonly path: string;
  readonly row: number;
  readonly order: Int32Array | null;
}

/** All trainable numbers as one flat vector (for each module A, then B), their accumulated gradients, and the tensors made of them. */
export class AdapterState {
  readonly theta: Float32Array;
  readonly gradients: Float32Array;
  private readonly offsets: readonly { readonly A: number; readonly B: number }[];
  private readonly blocks: LoraBlock[] = [];
  private readonly byPath: ReadonlyMap<string, number>;

  constructor(private readonly ops: Ops, private readonly adapter: Adapter) {
    let size = 0;
    this.offsets = adapter.modules.map(({ A, B }) => {
      const A_at = size;
      size += A.length + B.length;
      return { A: A_at, B: A_at + A.length };
    });
    this.theta = new Float32Array(size);
    this.gradients = new Float32Array(size);
    adapter.modules.forEach(({ A, B }, i) => {
      this.theta.set(A, this.offsets[i]!.A);
      this.theta.set(B, this.offsets[i]!.B);
    });
    this.byPath = new Map(adapter.modules.map((m, i) => [m.path, i]));
  }

  /** The adapter with the present numbers. */
  current(): Adapter {
    const modules = this.adapter.modules.map((m, i) => ({ ...m, A: this.viewA(i).slice(), B: this.viewB(i).slice() }));
    return { config: this.adapter.config, modules };
  }

  has(path: string): boolean {
    return this.byPath.has(path);
  }

  /** The block of a fused linear layer; null where none of its parts is adapted. */
  block(slots: readonly Slot[], in_features: number, out_features: number): LoraBlock | null {
    let r = 0;
    const parts = slots.flatMap(({ path, row, order }): BlockPart[] => {
      const module = this.byPath.get(path);
      const factors = module === undefined ? undefined : this.adapter.modules[module];
      if (module === undefined || !factors) return [];
      const rank = r;
      r += factors.r;
      return [{ factors, module, row, rank, order }];
    });
    if (parts.length === 0) return null;
    const block = { parts, r, in_features, out_features, ...this.uploadBlock(parts, r, in_features, out_features) };
    this.blocks.push(block);
    return block;
  }

  /** Views of a module's numbers in `theta`. */
  viewA(module: number): Float32Array {
    return part(this.theta, this.offsets[module]!.A, this.adapter.modules[module]!.A.length);
  }
  viewB(module: number): Float32Array {
    return part(this.theta, this.offsets[module]!.B, this.adapter.modules[module]!.B.length);
  }
  gradientA(module: number): Float32Array {
    return part(this.gradients, this.offsets[module]!.A, this.adapter.modules[module]!.A.length);
  }
  gradientB(module: number): Float32Array {
    return part(this.gradients, this.offsets[module]!.B, this.adapter.modules[module]!.B.length);
  }

  moduleAt(path: string): { readonly module: number; readonly factors: LoraFactors } | null {
    const module = this.byPath.get(path);
    return module === undefined ? null : { module, factors: this.adapter.modules[module]! };
  }

  /** Adds gradients of a block: dA [r, in] and dB [out, r], the latter for the scaled B. */
  accumulate(block: LoraBlock, dA: Float32Array, dB: Float32Array): void {
    for (const { factors, module, row, rank, order } of block.parts) {
      const { r, out_features, in_features, scaling } = factors;
      addInto(this.gradientA(module), dA.subarray(rank * in_features, (rank + r) * in_features));
      const into = this.gradientB(module);
      for (let i = 0; i < out_features; i++) {
        const to = (order ? order[i]! : i) * r;
        const from = (row + i) * block.r + rank;
        for (let j = 0; j < r; j++) into[to + j]! += scaling * dB[from + j]!;
      }
    }
  }

  /** The accumulated gradients divided by `labelled`, under the names of PEFT's files. */
  namedGradients(labelled: number): Map<string, NamedTensor> {
    const scale = (g: Float32Array) => g.map((value) => value / labelled);
    return new Map(this.adapter.modules.flatMap((module, i): [string, NamedTensor][] => [
      [tensorName(module, 'A'), { shape: factorShape(module, 'A'), data: scale(this.gradientA(i)) }],
      [tensorName(module, 'B'), { shape: factorShape(module, 'B'), data: scale(this.gradientB(i)) }],
    ]));
  }

  /** Makes the tensors anew after `theta` has changed. */
  refresh(): void {
    for (const block of this.blocks) {
      this.ops.free(block.A, block.B);
      Object.assign(block, this.uploadBlock(block.parts, block.r, block.in_features, block.out_features));
    }
  }

  dispose(): void {
    for (const block of this.blocks) this.ops.free(block.A, block.B);
    this.blocks.length = 0;
  }

  private uploadBlock(parts: readonly BlockPart[], r: number, in_features: number, out_features: number): { A: Tensor; B: Tensor } {
    const A = new Float32Array(r * in_features);
    const B = new Float32Array(out_features * r);
    for (const { factors, module, row, rank, order } of parts) {
      A.set(this.viewA(module), rank * in_features);
      const own = this.viewB(module);
      for (let i = 0; i < factors.out_features; i++) {
        const from = (order ? order[i]! : i) * factors.r;
        const to = (row + i) * r + rank;
        for (let j = 0; j < factors.r; j++) B[to + j] = factors.scaling * own[from + j]!;
      }
    }
    return { A: this.ops.upload(A, [r, in_features]), B: this.ops.upload(B, [out_features, r]) };
  }
}

const part = (data: Float32Array, start: number, length: number) => data.subarray(start, start + length);

function addInto(sum: Float32Array, term: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += term[i]!;
}
