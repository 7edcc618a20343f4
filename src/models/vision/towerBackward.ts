import type { VisionSpec } from '../../formats/architecture/spec';
import { closePass, type PassContext } from '../attention/passContext';
import { freeSavedLayer, layerBackward, type SavedLayer } from '../layers/layer';
import { linearBackward, savedTensors, type LinearSaved } from '../layers/linear';
import { sumAndFree, type Ops, type Tensor } from '../ops/ops';
import { freeMerger, mergerBackward, type MergerSaved, type MergerWeights } from './merger';
import type { VisionWeights } from './visionWeights';

/** What the backward pass of an image needs, which owns it. n patches */
export interface KeptImage {
  readonly pass: PassContext;
  /** What the convolution reads. */
  readonly samples: Tensor; // [n, channels · frames · side²]
  readonly patches: LinearSaved;
  readonly layers: SavedLayer[];
  readonly merger: MergerSaved;
  /** In the order of the spec's. */
  readonly deepstack: readonly MergerSaved[];
}

/** Gradients of images' vectors, each [tokens, d]; null: of a level that nothing reads. */
export interface VectorGradients {
  readonly vectors: Tensor;
  readonly deepstack: readonly (Tensor | null)[];
}

/** Frees what was kept, if no backward pass did. */
export function freeKept(ops: Ops, kept: KeptImage): void {
  for (const layer of kept.layers) freeSavedLayer(ops, layer);
  for (const merger of [kept.merger, ...kept.deepstack]) freeMerger(ops, merger);
  endPass(ops, kept);
}

function endPass(ops: Ops, { pass, samples, patches }: KeptImage): void {
  ops.free(samples, ...savedTensors(patches));
  closePass(pass);
}

/**
 * Accumulates the gradients of the trainable parameters for those of an image's vectors, which are
 * not freed. Frees what was kept.
 *
 * @param lowest The lowest layer that trains: -1 for the convolution.
 */
export async function imageBackward(
  { spec, weights }: { readonly spec: VisionSpec; readonly weights: VisionWeights },
  kept: KeptImage,
  gradients: VectorGradients,
  lowest: number,
): Promise<void> {
  const { pass, layers } = kept;
  const { ops } = pass;
  const d = spec.tower.hidden_size;
  const through = (merger: MergerWeights, saved: MergerSaved, dy: Tensor, block: number) =>
    mergerBackward(pass, merger, saved, { dy, wantsInput: block >= lowest, d });
  const last = layers.length - 1;
  let dx = await through(weights.merger, kept.merger, gradients.vectors, last);
  for (let i = last; i >= 0; i--) {
    const place = spec.deepstack.findIndex(({ block }) => block === i);
    const saved = kept.deepstack[place];
    const dy = gradients.deepstack[place] ?? null;
    if (saved && dy) {
      const more = await through(weights.deepstack[place]!, saved, dy, i);
      dx = dx && more ? sumAndFree(ops, [dx, more]) : (dx ?? more);
    } else if (saved) freeMerger(ops, saved);
    if (!dx || i < Math.max(0, lowest)) continue;
    const gradient = { dy: dx, rows: null, wantsInput: i > lowest };
    dx = await layerBackward(pass, weights.layers[i]!, layers[i]!, gradient);
    layers[i] = { keep: 'nothing' };
    await ops.yieldPoint();
  }
  if (dx) {
    const gradient = { dy: dx, x: kept.samples, saved: kept.patches };
    await linearBackward(pass, weights.patches, gradient, false);
    ops.free(dx);
  }
  endPass(ops, kept);
}
