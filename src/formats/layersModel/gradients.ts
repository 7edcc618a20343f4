import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import type { LayersModelFile } from './file';
import { namesOfCalls, topologyLayer, type TopologyLayer } from './modules';

/**
 * Refuses a layer that the gradients of adapted layers would have to pass, and through which
 * TensorFlow.js computes none: it would say so only in the first step, by the operation's name.
 *
 * @param adapted Names of the layers that train.
 * @throws LoraError('base') naming the layer
 */
export function refuseWithoutGradient(file: LayersModelFile, adapted: Iterable<string>): void {
  const walk: Walk = { adapted: new Set(adapted), budget: { left: MOST_CALLS } };
  try {
    reaches(file.topology, false, walk);
  } catch (error) {
    if (!(error instanceof NoGradient)) throw error;
    const { layer, what } = error;
    throw new LoraError(
      'base',
      `The layer ${JSON.stringify(layer.name)} is ${what}, through which TensorFlow.js computes no gradient.`,
      {
        place: { file: file.path, key: 'modelTopology' },
        fix: 'Adapt only layers that come after it (target_modules).',
      },
    );
  }
}

/** Layers that are looked at, at most. */
const MOST_CALLS = 100_000;

interface Walk {
  readonly adapted: ReadonlySet<string>;
  readonly budget: { left: number };
}

class NoGradient extends Error {
  constructor(
    readonly layer: TopologyLayer,
    readonly what: string,
  ) {
    super(layer.name);
  }
}

const DILATED = /^(?:Conv1D|Conv2D|Conv3D|SeparableConv2D)$/;

/** What of a layer has no gradient in tfjs 4.22.0; null: it has one. */
function withoutGradient({ class_name, config }: TopologyLayer): string | null {
  const rates = [config['dilation_rate']].flat();
  if (DILATED.test(class_name) && rates.some((rate) => typeof rate === 'number' && rate > 1))
    return `a dilated convolution (${class_name})`;
  return class_name === 'Conv3DTranspose' || class_name === 'Masking'
    ? `of the class ${class_name}`
    : null;
}

/** Whether the output of a layer or model depends on what trains. */
function reaches(value: unknown, isReached: boolean, walk: Walk): boolean {
  const layer = topologyLayer(value);
  walk.budget.left -= 1;
  if (walk.budget.left < 0) return isReached;
  const { layers, layer: inner } = layer.config;
  if (Array.isArray(layers))
    return layer.class_name === 'Sequential'
      ? layers.reduce<boolean>((own, each) => reaches(each, own, walk), isReached)
      : reachesGraph(layer, layers, { isReached, walk });
  if (isObject(inner)) return reaches(inner, isReached || walk.adapted.has(layer.name), walk);
  const isOwn = isReached || walk.adapted.has(layer.name);
  const what = isOwn ? withoutGradient(layer) : null;
  if (what !== null) throw new NoGradient(layer, what);
  return isOwn;
}

/** A functional model: again and again, until no more of its layers depend on what trains. */
function reachesGraph(
  { config }: TopologyLayer,
  layers: readonly unknown[],
  { isReached, walk }: { readonly isReached: boolean; readonly walk: Walk },
): boolean {
  const reached = new Set<string>();
  for (let before = -1; before < reached.size && walk.budget.left > 0;) {
    before = reached.size;
    for (const layer of layers) {
      const own = isObject(layer) ? layer : {};
      const { name, inbound_nodes } = own;
      const reads = namesOfCalls(inbound_nodes);
      const isFed = reads.length === 0 ? isReached : reads.some((read) => reached.has(read));
      if (typeof name === 'string' && reaches(layer, isFed, walk)) reached.add(name);
    }
  }
  return namesOfCalls(config['output_layers']).some((name) => reached.has(name));
}
