import type { VisionSpec } from '../../formats/architecture/spec';
import type { ModelContext } from '../adapters';
import { openPass } from '../attention/passContext';
import type { Dropout } from '../layers/dropout';
import { isLayerTrained, layerForward, type SavedLayer } from '../layers/layer';
import { isLinearTrained, linearForward } from '../layers/linear';
import type { ModelInput } from '../model';
import { castAndFree, downloadAndFree, thenFree, type Tensor } from '../ops/ops';
import { isMergerTrained, mergerForward, type MergerSaved } from './merger';
import {
  joinedVectors,
  patchOrder,
  type ImagePlaces,
  type ImageVectors,
  type PlacedImage,
} from './placedImage';
import { interpolatedPositions } from './positions';
import { freeKept, imageBackward, type KeptImage, type VectorGradients } from './towerBackward';
import { VectorCache } from './vectorCache';
import type { VisionWeights } from './visionWeights';

/** An image's pass that has not ended. */
export interface ImagePass {
  readonly image: PlacedImage;
  readonly tokens: number;
  readonly dropout: Dropout | null;
  /** What the backward pass needs; null: it is computed again (gradient checkpointing). */
  readonly kept: KeptImage | null;
}

/** The image embeddings, and their passes: of none unless the tower trains. */
export interface TowerOutput extends ImageVectors {
  readonly passes: readonly ImagePass[];
}

/** The vision encoder of Qwen3-VL. Each image is computed by itself. */
export class VisionTower {
  private readonly cache = new VectorCache();
  /** Whether something in it trains. */
  readonly trains: boolean;
  /** The lowest layer that trains: -1 for the convolution; their number if only mergers do. */
  private readonly lowest: number;

  constructor(
    private readonly context: ModelContext,
    readonly spec: VisionSpec,
    readonly weights: VisionWeights,
    private readonly recomputes = false,
  ) {
    const { layers, patches, merger, deepstack } = weights;
    const first = layers.findIndex(isLayerTrained);
    const above = first < 0 ? layers.length : first;
    this.lowest = isLinearTrained(patches) ? -1 : above;
    this.trains = this.lowest < layers.length || [merger, ...deepstack].some(isMergerTrained);
    const { adapters } = context;
    if (adapters.areWithin(spec.path))
      adapters.onChange(() => {
        this.cache.clear();
        return Promise.resolve();
      });
  }

  /** The image embeddings, one after the other. */
  async vectorsOf(images: readonly PlacedImage[]): Promise<ImageVectors> {
    const all: ImageVectors[] = [];
    for (const image of images)
      all.push(
        await this.cache.of(image.key, async () => (await this.compute(image, null, false)).own),
      );
    return joinedVectors(all);
  }

  /** The same with what the backward pass needs. To be ended by `backward` or `release`. */
  async forward(images: readonly PlacedImage[], dropout: Dropout | null): Promise<TowerOutput> {
    const all: ImageVectors[] = [];
    const passes: ImagePass[] = [];
    for (const [i, image] of images.entries()) {
      const own = dropout && { ...dropout, seed: seedOfImage(dropout.seed, i) };
      const { own: vectors, kept } = await this.compute(image, own, !this.recomputes);
      all.push(vectors);
      passes.push({ image, tokens: vectors.tokens, dropout: own, kept });
    }
    return { ...joinedVectors(all), passes };
  }

  /** Accumulates the gradients for those of the vectors, which it frees, and ends the passes. */
  async backward(
    passes: readonly ImagePass[],
    { vectors, deepstack }: VectorGradients,
  ): Promise<void> {
    const { ops, adapters } = this.context;
    adapters.parameters.imagesReached = true;
    let at = 0;
    for (const { image, tokens, dropout, kept } of passes) {
      const part = (all: Tensor) => ops.slice(all, [at, 0], [tokens, all.shape[1]!]);
      const own = { vectors: part(vectors), deepstack: deepstack.map((all) => all && part(all)) };
      const saved = kept ?? (await this.compute(image, dropout, true)).kept;
      if (saved) await imageBackward(this, saved, own, this.lowest);
      freeGradients(this.context, own);
      at += tokens;
    }
    freeGradients(this.context, { vectors, deepstack });
  }

  /** Ends passes without a backward pass. */
  release(passes: readonly ImagePass[]): void {
    for (const { kept } of passes) if (kept) freeKept(this.context.ops, kept);
  }

  private async compute(
    image: PlacedImage,
    dropout: Dropout | null,
    keep: boolean,
  ): Promise<{ readonly own: ImageVectors; readonly kept: KeptImage | null }> {
    const { spec, weights } = this;
    const { ops } = this.context;
    const order = patchOrder(image.grid, spec.merge);
    const n = image.grid.height * image.grid.width;
    const samples = ops.upload(await image.patches(), [n, spec.patches.in_features]);
    const pass = openPass(ops, spec.tower, inputOf(n, order), { dropout });
    const { y, saved: patches } = linearForward(pass, weights.patches, samples);
    let x = this.withPositions(castAndFree(ops, y, 'f32'), image, order);
    const layers: SavedLayer[] = [];
    const mergers: MergerSaved[] = [];
    const vectors: Float32Array[] = [];
    for (const [i, layer] of weights.layers.entries()) {
      const policy = { rows: null, keep: keep && i >= this.lowest ? 'all' : 'nothing' } as const;
      const output = await layerForward(pass, layer, x, policy);
      layers.push(output.kept);
      x = output.y;
      const place = spec.deepstack.findIndex(({ block }) => block === i);
      if (place >= 0) {
        const merged = mergerForward(pass, weights.deepstack[place]!, x, spec.merge ** 2);
        mergers[place] = merged.saved;
        vectors[place] = (await downloadAndFree(ops, merged.y)).slice();
      }
      await ops.yieldPoint();
    }
    const merged = mergerForward(pass, weights.merger, x, spec.merge ** 2);
    ops.free(x);
    const own: ImageVectors = {
      tokens: n / spec.merge ** 2,
      vectors: (await downloadAndFree(ops, merged.y)).slice(),
      deepstack: vectors,
    };
    const kept = { pass, samples, patches, layers, merger: merged.saved, deepstack: mergers };
    if (keep) return { own, kept };
    freeKept(ops, kept);
    return { own, kept: null };
  }

  /** The patches' vectors x [n, d], which are freed, with those of their positions. */
  private withPositions(x: Tensor, { grid }: PlacedImage, order: ImagePlaces): Tensor {
    const { spec, weights } = this;
    const { ops } = this.context;
    const side = Math.sqrt(spec.positions.rows);
    const table = interpolatedPositions(weights.positions, side, grid, order);
    const positions = ops.upload(table, x.shape);
    return thenFree(ops, ops.add(x, positions), x, positions);
  }
}

/** Patches attend to all others of their image, whose rows and columns are their positions. */
const inputOf = (length: number, { rows, columns }: ImagePlaces): ModelInput => ({
  batch: 1,
  length,
  input_ids: new Int32Array(0),
  attention_mask: new Int32Array(length).fill(1),
  position_ids: new Int32Array(length),
  spatial_ids: { heights: rows, widths: columns },
});

/** Images of one batch get masks of their own. */
const seedOfImage = (seed: number, image: number): number =>
  (seed + Math.imul(image + 1, 0x9e3779b1)) | 0;

const freeGradients = (
  { ops }: Pick<ModelContext, 'ops'>,
  { vectors, deepstack }: VectorGradients,
): void => ops.free(vectors, ...deepstack.filter((own) => own !== null));
