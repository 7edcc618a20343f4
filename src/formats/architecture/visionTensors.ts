import { linearsOf } from './modules';
import type { LayerNorms, LinearSpec, NormSpec } from './spec';
import type { MergerSpec, VisionSpec } from './spec';

const ofLinear = ({ in_features, out_features, bias }: LinearSpec): number =>
  out_features * (in_features + (bias ? 1 : 0));

/** A weight and a bias. */
const ofNorm = ({ size }: NormSpec): number => 2 * size;

const ofMerger = ({ norm, up, down }: MergerSpec): number =>
  ofNorm(norm) + ofLinear(up) + ofLinear(down);

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** The numbers of a tower's weights. */
export function visionParameters({
  tower,
  patches,
  positions,
  merger,
  deepstack,
}: VisionSpec): number {
  const norms = (own: LayerNorms) =>
    Object.values(own as object as Record<string, NormSpec | null>);
  const layers = tower.layers.map(
    (layer) =>
      sum(linearsOf(layer).map(ofLinear)) +
      sum(norms(layer.norms).map((norm) => (norm ? ofNorm(norm) : 0))),
  );
  const mergers = [merger, ...deepstack.map((own) => own.merger)].map(ofMerger);
  return ofLinear(patches) + positions.rows * tower.hidden_size + sum(layers) + sum(mergers);
}
