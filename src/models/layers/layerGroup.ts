import type { PassContext } from '../attention/passContext';
import type { Tensor } from '../ops/ops';
import {
  areTogether,
  fusedBackward,
  fusedForward,
  fusedLayer,
  type FusedLayer,
  type FusedSaved,
} from './fusedLayer';
import {
  layerBackward,
  layerForward,
  type ForwardPolicy,
  type LayerGradient,
  type SavedLayer,
} from './layer';
import type { LayerWeights } from './layerWeights';

/**
 * `layerForward` of the first of some layers, one after the other: of as many as one operation
 * computes, at least of one.
 */
export async function layersForward(
  pass: PassContext,
  layers: readonly LayerWeights[],
  x: Tensor,
  policy: ForwardPolicy,
): Promise<{ readonly y: Tensor; readonly kept: readonly SavedLayer[] }> {
  const together = policy.keep === 'all' ? fusedLayers(pass, layers, x, policy) : [];
  if (together.length < 2) {
    const { y, kept } = await layerForward(pass, layers[0]!, x, policy);
    return { y, kept: [kept] };
  }
  const results = fusedForward(together, x);
  const kept = results.map(({ saved }) => ({ keep: 'fused', saved }) as const);
  return { y: results.at(-1)!.y, kept };
}

/** The first of some layers that one operation computes. */
function fusedLayers(
  pass: PassContext,
  layers: readonly LayerWeights[],
  x: Tensor,
  { rows }: ForwardPolicy,
): readonly FusedLayer[] {
  const together: FusedLayer[] = [];
  for (const w of layers) {
    const layer = fusedLayer(pass, w, x, rows);
    if (!layer || !joins(layer, together, x)) break;
    together.push(layer);
  }
  return together;
}

/**
 * `layerBackward` of the last of some layers, one after the other: of as many as one operation
 * computes, at least of one. `wantsInput`: of the first layer. Returns also how many they are.
 */
export async function layersBackward(
  pass: PassContext,
  layers: readonly LayerWeights[],
  kept: readonly SavedLayer[],
  gradient: LayerGradient,
): Promise<{ readonly dx: Tensor | null; readonly count: number }> {
  const together = savedTogether(kept, gradient.dy);
  const count = Math.max(1, together.length);
  const own = { ...gradient, wantsInput: gradient.wantsInput || count < layers.length };
  const dx =
    together.length > 0
      ? await fusedBackward(pass.ops, together, own)
      : await layerBackward(pass, layers.at(-1)!, kept.at(-1)!, own);
  return { dx, count };
}

/** What the last of some layers saved that one operation computes. */
function savedTogether(kept: readonly SavedLayer[], dy: Tensor): readonly FusedSaved[] {
  const together: FusedSaved[] = [];
  for (const own of [...kept].reverse()) {
    const layers = together.map(({ layer }) => layer);
    if (own.keep !== 'fused' || !joins(own.saved.layer, layers, dy)) break;
    together.unshift(own.saved);
  }
  return together;
}

/** Whether an operation on rows like those of x [n, d] computes a layer and some others. */
const joins = (layer: FusedLayer, others: readonly FusedLayer[], x: Tensor): boolean =>
  others.length === 0 || areTogether(others[0]!, layer, x.shape[0]!, others.length + 1);
