import type { PatchEmbeddingSpec } from '../../formats/architecture/spec';
import type { EmbeddingLayer } from './embeddingLayer';
import type { WeightTensor } from '../weightTensor';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  needsInput,
  savedTensors,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import { columnSums, thenFree, type Ops, type Tensor } from '../ops/ops';
import type { ModelInput } from '../model';

interface Saved {
  readonly patches: Tensor | null; // [batch · patches, channels · height · width]
  readonly linear: LinearSaved;
}

/**
 * Images to vectors: each patch through one linear map, a learned vector in front, learned
 * positions on all.
 */
export class PatchEmbedding implements EmbeddingLayer<Saved> {
  constructor(
    private readonly ops: Ops,
    private readonly spec: PatchEmbeddingSpec,
    private readonly projection: Linear,
    private readonly cls: WeightTensor,
    private readonly positions: WeightTensor, // [1, 1, d], [1, patches + 1, d]
  ) {}

  get trains(): boolean {
    return (
      isLinearTrained(this.projection) ||
      Boolean(this.cls.gradientSink ?? this.positions.gradientSink)
    );
  }

  forward(
    { batch, length, pixel_values }: ModelInput,
    keep: boolean,
  ): { readonly x: Tensor; readonly saved: Saved } {
    const { ops, projection, cls, positions } = this;
    const d = cls.tensor.shape[2]!;
    const rows = patchesOf(pixel_values!, batch, this.spec);
    const patches = ops.upload(rows, [batch * (length - 1), rows.length / (batch * (length - 1))]);
    const { y, saved: linear } = linearForward(ops, projection, patches, null);
    const apart = thenFree(ops, ops.reshape(y, [batch, length - 1, d]), y);
    const zeros = ops.upload(new Int32Array(batch), [batch]);
    const first = thenFree(ops, ops.gather(cls.tensor, zeros), zeros); // [batch, 1, d]
    const all = thenFree(ops, ops.concat([first, apart], 1), first, apart);
    const placed = thenFree(ops, ops.add(all, positions.tensor), all);
    const x = thenFree(ops, ops.reshape(placed, [batch * length, d]), placed);
    const kept = keep && needsInput(projection);
    if (!kept) ops.free(patches);
    if (keep) return { x, saved: { patches: kept ? patches : null, linear } };
    ops.free(...savedTensors(linear));
    return { x, saved: { patches: null, linear: { xa: null, z: null } } };
  }

  async backward({ batch, length }: ModelInput, dx: Tensor, saved: Saved): Promise<void> {
    const { ops, projection } = this;
    const d = dx.shape[1]!;
    if (this.trains) {
      const apart = ops.reshape(dx, [batch, length, d]);
      await this.learnt(apart);
      const own = thenFree(ops, ops.slice(apart, [0, 1, 0], [batch, length - 1, d]), apart);
      const dy = thenFree(ops, ops.reshape(own, [batch * (length - 1), d]), own);
      await linearBackward(ops, projection, dy, saved.patches, saved.linear, null, false);
      ops.free(dy);
    }
    ops.free(dx);
    this.release(saved);
  }

  /** Gradients of the learned vectors for d [batch, length, d], which stays. */
  private async learnt(d: Tensor): Promise<void> {
    const { ops, cls, positions } = this;
    const [batch, length, width] = d.shape as [number, number, number];
    const summed = async (held: WeightTensor, part: Tensor, count: number) => {
      const rows = thenFree(ops, ops.reshape(part, [batch, count * width]), part);
      const sums = thenFree(ops, columnSums(ops, rows), rows);
      await held.gradientSink!.accumulate(
        thenFree(ops, ops.reshape(sums, held.tensor.shape), sums),
      );
    };
    if (cls.gradientSink) await summed(cls, ops.slice(d, [0, 0, 0], [batch, 1, width]), 1);
    if (positions.gradientSink)
      await summed(positions, ops.slice(d, [0, 0, 0], [batch, length, width]), length);
  }

  release({ patches, linear }: Saved): void {
    this.ops.free(...(patches ? [patches] : []), ...savedTensors(linear));
  }
}

/**
 * [batch, channels, height, width] -> a row a patch, its numbers in the order of the convolution's
 * kernel [channels, height, width].
 */
export function patchesOf(
  pixels: Float32Array,
  batch: number,
  { channels, image_size: [height, width], patch_size: [ph, pw] }: PatchEmbeddingSpec,
): Float32Array {
  const rows = new Float32Array(pixels.length);
  let at = 0;
  for (let b = 0; b < batch; b++) {
    for (let y = 0; y + ph <= height; y += ph) {
      for (let x = 0; x + pw <= width; x += pw) {
        for (let c = 0; c < channels; c++) {
          for (let i = 0; i < ph; i++) {
            const from = ((b * channels + c) * height + y + i) * width + x;
            rows.set(pixels.subarray(from, from + pw), at);
            at += pw;
          }
        }
      }
    }
  }
  return rows.subarray(0, at);
}
