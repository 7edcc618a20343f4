import type { VisionSpec } from '../../formats/architecture/spec';
import { closePass, openPass } from '../attention/passContext';
import { applyActivation } from '../layers/activation';
import { layerForward } from '../layers/layer';
import type { LayerWeights } from '../layers/layerWeights';
import { linearForward, type Linear } from '../layers/linear';
import { normForward, statsTensors, type Norm } from '../layers/norm';
import type { ModelInput } from '../model';
import { castAndFree, downloadAndFree, thenFree, type Ops, type Tensor } from '../ops/ops';
import { patchOrder, type ImageVectors, type PlacedImage } from './placedImage';
import { interpolatedPositions } from './positions';
import { VectorCache } from './vectorCache';

export interface MergerWeights {
  readonly norm: Norm;
  readonly up: Linear;
  readonly down: Linear;
}

export interface VisionWeights {
  readonly patches: Linear;
  readonly positions: Float32Array; // [side², d]
  readonly layers: readonly LayerWeights[];
  readonly merger: MergerWeights;
  /** In the order of the spec's. */
  readonly deepstack: readonly MergerWeights[];
}

/** The tower for images of Qwen3-VL, forward only: it never trains. */
export class VisionTower {
  private readonly cache = new VectorCache();

  constructor(
    private readonly ops: Ops,
    readonly spec: VisionSpec,
    private readonly weights: VisionWeights,
  ) {}

  /** The vectors of images, one after the other. */
  async vectorsOf(images: readonly PlacedImage[]): Promise<ImageVectors> {
    const all: ImageVectors[] = [];
    for (const image of images) all.push(await this.cache.of(image.key, () => this.compute(image)));
    const [first] = all;
    if (first && all.length === 1) return first;
    return {
      tokens: all.reduce((sum, { tokens }) => sum + tokens, 0),
      vectors: joined(all.map(({ vectors }) => vectors)),
      deepstack: this.weights.deepstack.map((_, i) =>
        joined(all.map(({ deepstack }) => deepstack[i]!)),
      ),
    };
  }

  private async compute(image: PlacedImage): Promise<ImageVectors> {
    const { ops, spec, weights } = this;
    const { grid } = image;
    const order = patchOrder(grid, spec.merge);
    const length = grid.height * grid.width;
    const input: ModelInput = {
      batch: 1,
      length,
      input_ids: new Int32Array(0),
      attention_mask: new Int32Array(length).fill(1),
      position_ids: new Int32Array(length),
      spatial_ids: { heights: order.rows, widths: order.columns },
    };
    let x = this.embedded(await image.patches(), image, order);
    const pass = openPass(ops, spec.tower, input);
    const deepstack: Float32Array[] = [];
    for (const [i, layer] of weights.layers.entries()) {
      ({ y: x } = await layerForward(pass, layer, x, { rows: null, keep: 'nothing' }));
      const place = spec.deepstack.findIndex(({ block }) => block === i);
      if (place >= 0) deepstack[place] = await this.merged(weights.deepstack[place]!, x);
      await ops.yieldPoint();
    }
    closePass(pass);
    const vectors = await this.merged(weights.merger, x);
    ops.free(x);
    return { tokens: length / spec.merge ** 2, vectors, deepstack };
  }

  /** The patches' vectors with those of their positions. [n, d] */
  private embedded(
    samples: Float32Array,
    { grid }: PlacedImage,
    order: ReturnType<typeof patchOrder>,
  ): Tensor {
    const { ops, spec, weights } = this;
    const n = grid.height * grid.width;
    const { in_features, out_features } = spec.patches;
    const patches = ops.upload(samples, [n, in_features]);
    const { y } = linearForward({ ops, dropout: null }, weights.patches, patches);
    const x = castAndFree(ops, thenFree(ops, y, patches), 'f32');
    const side = Math.sqrt(spec.positions.rows);
    const table = interpolatedPositions(weights.positions, side, grid, order);
    const positions = ops.upload(table, [n, out_features]);
    return thenFree(ops, ops.add(x, positions), x, positions);
  }

  /** x [n, d], which is not freed, as [n / merge², width]. */
  private async merged({ norm, up, down }: MergerWeights, x: Tensor): Promise<Float32Array> {
    const { ops, spec } = this;
    const computation = { ops, dropout: null };
    const [n, d] = x.shape as [number, number];
    const shape = [n / spec.merge ** 2, d * spec.merge ** 2];
    const isMergedFirst = norm.weight.tensor.shape[0] !== d;
    const given = ops.reshape(x, isMergedFirst ? shape : x.shape);
    const { h, stats } = normForward(ops, norm, given);
    ops.free(given, ...statsTensors(stats));
    const rows = thenFree(ops, ops.reshape(h, shape), h);
    const { y } = linearForward(computation, up, rows);
    const active = applyActivation(ops, 'gelu', thenFree(ops, y, rows));
    ops.free(y);
    const { y: vectors } = linearForward(computation, down, active);
    return (await downloadAndFree(ops, thenFree(ops, vectors, active))).slice();
  }
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
