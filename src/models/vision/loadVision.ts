import type { MergerSpec, VisionSpec } from '../../formats/architecture/spec';
import type { LayerWeights } from '../layers/layerWeights';
import { allRows } from '../productRows';
import type { WeightLoader } from '../weightLoader';
import { VisionTower, type MergerWeights } from './visionTower';

/**
 * Loads the tower for images. The loader owns its weights.
 *
 * @throws LoraError('base') for a missing tensor or a wrong shape.
 */
export async function loadVision(loader: WeightLoader, spec: VisionSpec): Promise<VisionTower> {
  const { ops } = loader.context;
  const layers: LayerWeights[] = [];
  for (const i of spec.tower.layers.keys()) {
    layers.push(await loader.layer(spec.tower.layers, i));
    await ops.yieldPoint();
  }
  const deepstack: MergerWeights[] = [];
  for (const { merger } of spec.deepstack) deepstack.push(await loadMerger(loader, merger));
  return new VisionTower(ops, spec, {
    patches: await loader.linear([allRows(spec.patches)]),
    positions: await loader.constants(`${spec.positions.path}.weight`),
    layers,
    merger: await loadMerger(loader, spec.merger),
    deepstack,
  });
}

const loadMerger = async (
  loader: WeightLoader,
  { norm, up, down }: MergerSpec,
): Promise<MergerWeights> => ({
  norm: await loader.norm(norm),
  up: await loader.linear([allRows(up)]),
  down: await loader.linear([allRows(down)]),
});
