import type { PatchEmbeddingSpec } from '../../formats/architecture/spec';
import {
  isLinearTrained,
  linearBackward,
  linearForward,
  needsInput,
  savedTensors,
  type Linear,
  type LinearSaved,
} from '../layers/linear';
import type { ModelInput } from '../model';
import { columnSums, thenFree, type Ops, type Tensor } from '../ops/ops';
import type { DenseWeight } from '../weightTensor';
import type { EmbeddingLayer } from './embeddingLayer';
import { positionMix } from './positionMix';

interface PatchWeights {
  readonly projection: Linear;
  readonly cls_token: DenseWeight; // [1, 1, d]
  readonly positions: DenseWeight; // [1, patches + 1, d]
}

interface PatchSaved {
  readonly patches: Tensor | null; // [batch · patches, channels · height · width]
  readonly linear: LinearSaved;
}

const NOTHING_SAVED: PatchSaved = { patches: null, linear: { xa: null, z: null } };

/**
 * Images to vectors (ViT, Dosovitskiy et al. 2021): a linear projection of each patch, a learned
 * vector in front of them, and learned positions.
 */
export class PatchEmbedding implements EmbeddingLayer<PatchSaved> {
  constructor(
    private readonly ops: Ops,
    private readonly spec: PatchEmbeddingSpec,
    private readonly weights: PatchWeights,
  ) {}

  get trains(): boolean {
    const { projection, cls_token, positions } = this.weights;
    return isLinearTrained(projection) || Boolean(cls_token.gradientSink ?? positions.gradientSink);
  }

  forward(
    { batch, length, pixel_values }: ModelInput,
    keep: boolean,
  ): { readonly x: Tensor; readonly saved: PatchSaved } {
    const { ops } = this;
    const { projection, cls_token, positions } = this.weights;
    const d = cls_token.tensor.shape[2]!;
    const rows = batch * (length - 1);
    const image_size = imageSizeOf(this.spec, length);
    const pixels = patchRows(pixel_values!, batch, { ...this.spec, image_size });
    const patches = ops.upload(pixels, [rows, pixels.length / rows]);
    const { y, saved: linear } = linearForward({ ops, dropout: null }, projection, patches);
    const patchVectors = thenFree(ops, ops.reshape(y, [batch, length - 1, d]), y);
    const zeros = ops.upload(new Int32Array(batch), [batch]);
    const first = thenFree(ops, ops.gather(cls_token.tensor, zeros), zeros); // [batch, 1, d]
    const all = thenFree(ops, ops.concat([first, patchVectors], 1), first, patchVectors);
    const table = this.positionsOf(length);
    const placed = thenFree(ops, ops.add(all, table), all);
    if (table !== positions.tensor) ops.free(table);
    const x = thenFree(ops, ops.reshape(placed, [batch * length, d]), placed);
    const keepsPatches = keep && needsInput(projection);
    if (!keepsPatches) ops.free(patches);
    if (keep) return { x, saved: { patches: keepsPatches ? patches : null, linear } };
    ops.free(...savedTensors(linear));
    return { x, saved: NOTHING_SAVED };
  }

  async backward({ batch, length }: ModelInput, dx: Tensor, saved: PatchSaved): Promise<void> {
    const { ops } = this;
    const { projection } = this.weights;
    const d = dx.shape[1]!;
    if (this.trains) {
      const dAll = ops.reshape(dx, [batch, length, d]);
      await this.accumulateLearned(dAll);
      const dPatches = thenFree(ops, ops.slice(dAll, [0, 1, 0], [batch, length - 1, d]), dAll);
      const dy = thenFree(ops, ops.reshape(dPatches, [batch * (length - 1), d]), dPatches);
      const gradient = { dy, x: saved.patches, saved: saved.linear };
      await linearBackward({ ops, dropout: null }, projection, gradient, false);
      ops.free(dy);
    }
    ops.free(dx);
    this.release(saved);
  }

  release({ patches, linear }: PatchSaved): void {
    this.ops.free(...(patches ? [patches] : []), ...savedTensors(linear));
  }

  /** The positions of an image of `length` vectors: the learned ones, or those between them. */
  private positionsOf(length: number): Tensor {
    const { tensor } = this.weights.positions;
    const [, rows, d] = tensor.shape as [number, number, number];
    if (rows === length) return tensor;
    const { ops } = this;
    const mix = this.uploadMix(length, rows);
    const table = ops.reshape(tensor, [rows, d]);
    const mixed = thenFree(ops, ops.matMul(mix, table), mix, table);
    return thenFree(ops, ops.reshape(mixed, [1, length, d]), mixed);
  }

  /** Each of `length` positions as a sum of `rows` learned ones. The class token keeps its own. */
  private uploadMix(length: number, rows: number): Tensor {
    return this.ops.upload(positionMix(rows - 1, length - 1), [length, rows]);
  }

  /** Gradients of the learned vectors for d [batch, length, d], which is not freed. */
  private async accumulateLearned(d: Tensor): Promise<void> {
    const { ops } = this;
    const { cls_token, positions } = this.weights;
    const [batch, length, width] = d.shape as [number, number, number];
    /** Adds the sums over the batch of the first `count` vectors of each image. */
    const accumulate = async ({ gradientSink, tensor }: DenseWeight, count: number) => {
      if (!gradientSink) return;
      const vectors = ops.slice(d, [0, 0, 0], [batch, count, width]);
      const rows = thenFree(ops, ops.reshape(vectors, [batch, count * width]), vectors);
      const sums = thenFree(ops, columnSums(ops, rows), rows);
      const learned = this.ofLearned(sums, count, tensor.shape);
      await gradientSink.accumulate(learned);
    };
    await accumulate(cls_token, 1);
    await accumulate(positions, length);
  }

  /** The gradient of a learned tensor for that of `count` vectors, which is freed. */
  private ofLearned(sums: Tensor, count: number, shape: readonly number[]): Tensor {
    const { ops } = this;
    const rows = shape[1]!;
    if (rows === count) return thenFree(ops, ops.reshape(sums, shape), sums);
    const mix = this.uploadMix(count, rows);
    const own = thenFree(ops, ops.reshape(sums, [count, shape[2]!]), sums);
    const learned = thenFree(ops, ops.matMul(mix, own, true), mix, own);
    return thenFree(ops, ops.reshape(learned, shape), learned);
  }
}

/** Height and width of an image of `length` vectors: the model's, or those of a square. */
function imageSizeOf(
  { image_size, patch_size: [ph, pw], interpolates }: PatchEmbeddingSpec,
  length: number,
): readonly [number, number] {
  if (!interpolates) return image_size;
  const side = Math.sqrt(length - 1);
  return [side * ph, side * pw];
}

/**
 * [batch, channels, height, width] -> one row per patch, its pixels in the order of the
 * convolution's kernel [channels, height, width].
 */
export function patchRows(
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
