import type { MergerSpec, VisionSpec } from '../../formats/architecture/spec';
import type { LayerWeights } from '../layers/layerWeights';
import { allRows } from '../productRows';
import type { WeightLoader } from '../weightLoader';
import type { MergerWeights } from './merger';
import { VisionTower } from './visionTower';

/**
 * Loads the vision encoder, with the modules of adapters on it. The loader owns its weights.
 *
 * @param recomputes Whether its passes are computed again for the backward pass (gradient
 *   checkpointing).
 * @throws LoraError('base') for a missing tensor or a wrong shape.
 */
export async function loadVision(
  loader: WeightLoader,
  spec: VisionSpec,
  recomputes = false,
): Promise<VisionTower> {
  const { context } = loader;
  const layers: LayerWeights[] = [];
  for (const i of spec.tower.layers.keys()) {
    layers.push(await loader.layer(spec.tower.layers, i));
    await context.ops.yieldPoint();
  }
  const deepstack: MergerWeights[] = [];
  for (const { merger } of spec.deepstack) deepstack.push(await loadMerger(loader, merger));
  const weights = {
    patches: await loader.linear([allRows(spec.patches)]),
    positions: await loader.constants(`${spec.positions.path}.weight`),
    layers,
    merger: await loadMerger(loader, spec.merger),
    deepstack,
  };
  return new VisionTower(context, spec, weights, recomputes);
}

const loadMerger = async (
  loader: WeightLoader,
  { norm, up, down }: MergerSpec,
): Promise<MergerWeights> => ({
  norm: await loader.norm(norm),
  mlp: {
    kind: 'mlp',
    norm_in: null,
    activation: 'gelu',
    clamped: null,
    gate: null,
    up: await loader.linear([allRows(up)]),
    down: await loader.linear([allRows(down)]),
    norm_out: null,
    scale_out: 1,
  },
});
