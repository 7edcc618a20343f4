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
import {
  isNormTrained,
  normBackwardAndFree,
  normForward,
  statsTensors,
  type Norm,
  type NormSaved,
} from '../layers/norm';
import type { ModelInput } from '../model';
import { castAndFree, columnSums, elementCount, thenFree, type Ops, type Tensor } from '../ops/ops';
import type { DenseWeight } from '../weightTensor';
import type { EmbeddingLayer } from './embeddingLayer';
import { positionMix } from './positionMix';

interface PatchWeights {
  readonly projection: Linear;
  readonly cls_token: DenseWeight | null; // [1, 1, d], or [d]
  readonly positions: DenseWeight; // [1, length, d], or [length, d]
  /** After the positions are added. */
  readonly norm: Norm | null;
}

interface PatchSaved {
  readonly patches: Tensor | null; // [batch · patches, channels · height · width]
  readonly linear: LinearSaved;
  readonly norm: NormSaved | null;
}

const NOTHING_SAVED: PatchSaved = { patches: null, linear: { xa: null, z: null }, norm: null };

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
    const { projection, cls_token, positions, norm } = this.weights;
    return (
      isLinearTrained(projection) ||
      isNormTrained(norm) ||
      Boolean(cls_token?.gradientSink ?? positions.gradientSink)
    );
  }

  forward(
    { batch, length, pixel_values }: ModelInput,
    keep: boolean,
  ): { readonly x: Tensor; readonly saved: PatchSaved } {
    const { ops } = this;
    const { projection, norm } = this.weights;
    const image_size = imageSizeOf(this.spec, length);
    const pixels = patchRows(pixel_values!, batch, { ...this.spec, image_size });
    const rows = batch * (length - this.firstPatch);
    const patches = ops.upload(pixels, [rows, pixels.length / rows]);
    const { y, saved: linear } = linearForward({ ops, dropout: null }, projection, patches);
    const sum = this.placed(y, batch, length);
    const normed = norm && normForward(ops, norm, sum);
    const x = normed?.h ?? sum;
    const keepsPatches = keep && needsInput(projection);
    if (!keepsPatches) ops.free(patches);
    const saved: PatchSaved = {
      patches: keepsPatches ? patches : null,
      linear,
      norm: normed && { x: sum, stats: normed.stats },
    };
    if (keep) return { x, saved };
    this.release(saved);
    return { x, saved: NOTHING_SAVED };
  }

  /** The class token, if there is one, before the patches of each image, plus the positions. */
  private placed(patches: Tensor, batch: number, length: number): Tensor {
    const { ops } = this;
    const { cls_token, positions } = this.weights;
    const d = patches.shape[1]!;
    const first = this.firstPatch;
    const exact = castAndFree(ops, patches, 'f32'); // without a bias it is a product of bf16
    const vectors = thenFree(ops, ops.reshape(exact, [batch, length - first, d]), exact);
    const all = cls_token ? this.withToken(cls_token, vectors) : vectors; // [batch, length, d]
    const table = this.positionsOf(length);
    const sum = thenFree(ops, ops.add(all, table), all);
    if (table !== positions.tensor) ops.free(table);
    return thenFree(ops, ops.reshape(sum, [batch * length, d]), sum);
  }

  /** Frees the vectors. */
  private withToken({ tensor }: DenseWeight, vectors: Tensor): Tensor {
    const { ops } = this;
    const [batch, , d] = vectors.shape as [number, number, number];
    const token = ops.reshape(tensor, [1, 1, d]);
    const zeros = ops.upload(new Int32Array(batch), [batch]);
    const first = thenFree(ops, ops.gather(token, zeros), token, zeros); // [batch, 1, d]
    return thenFree(ops, ops.concat([first, vectors], 1), first, vectors);
  }

  /** The position of the first patch. */
  private get firstPatch(): number {
    return this.weights.cls_token ? 1 : 0;
  }

  async backward({ batch, length }: ModelInput, dx: Tensor, saved: PatchSaved): Promise<void> {
    const { ops } = this;
    const { projection, norm } = this.weights;
    const d = dx.shape[1]!;
    const first = this.firstPatch;
    if (this.trains) {
      const dSum = norm && saved.norm ? await normBackwardAndFree(ops, norm, saved.norm, dx) : dx;
      const dAll = thenFree(ops, ops.reshape(dSum, [batch, length, d]), dSum);
      await this.accumulateLearned(dAll);
      const patches = ops.slice(dAll, [0, first, 0], [batch, length - first, d]);
      const dPatches = thenFree(ops, patches, dAll);
      const dy = thenFree(ops, ops.reshape(dPatches, [batch * (length - first), d]), dPatches);
      const gradient = { dy, x: saved.patches, saved: saved.linear };
      await linearBackward({ ops, dropout: null }, projection, gradient, false);
      ops.free(dy);
    } else ops.free(dx);
    this.release(saved);
  }

  release({ patches, linear, norm }: PatchSaved): void {
    const normTensors = norm ? [norm.x, ...statsTensors(norm.stats)] : [];
    this.ops.free(...(patches ? [patches] : []), ...savedTensors(linear), ...normTensors);
  }

  /** The positions of an image of `length` vectors: the learned ones, or those between them. */
  private positionsOf(length: number): Tensor {
    const { tensor } = this.weights.positions;
    const [rows, d] = tensor.shape.slice(-2) as [number, number];
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
    const accumulate = async (learnt: DenseWeight | null, count: number) => {
      if (!learnt?.gradientSink) return;
      const { gradientSink, tensor } = learnt;
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
    const d = shape.at(-1)!;
    const rows = elementCount(shape) / d;
    if (rows === count) return thenFree(ops, ops.reshape(sums, shape), sums);
    const mix = this.uploadMix(count, rows);
    const own = thenFree(ops, ops.reshape(sums, [count, d]), sums);
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
