import type { ModuleKind } from '../../lora/adapter';
import { isObject } from '../../shared/values';
import type { LayersModelFile, StoredWeight } from './file';

/** A weight that is a matrix of a layer, by the name that adapters have for it. */
export interface ManifestMatrix {
  readonly path: string;
  readonly weight: StoredWeight;
  readonly kind: ModuleKind;
  readonly in_features: number;
  readonly out_features: number;
}

const MATRIX = /^(?:kernel|depthwise_kernel|pointwise_kernel|recurrent_kernel|embeddings)$/;
/** Keras writes the cell of a recurrent layer into the names of its weights; tfjs does not. */
const CELL = /_cell(?:_\d+)?$/;

/**
 * The matrices in a model's manifest. A layer with one matrix gives it its name; else the matrix's
 * own name is added: dense_1, lstm_1.recurrent_kernel.
 */
export function manifestMatrices({ groups }: Pick<LayersModelFile, 'groups'>): ManifestMatrix[] {
  const found = groups
    .flatMap(({ weights }) => weights)
    .map((weight) => ({ weight, parts: partsOf(weight.name) }))
    .filter(({ weight, parts }) => weight.shape.length > 1 && MATRIX.test(parts.at(-1)!));
  const stems = found.map(({ parts }) => parts.slice(0, -1).join('.'));
  return found.map(({ weight, parts }, i) => {
    const isOnly = stems.filter((stem) => stem === stems[i]).length === 1;
    const name = parts.at(-1)!;
    const outer = name === 'depthwise_kernel' ? 2 : 1;
    return {
      path: isOnly ? stems[i]! : parts.join('.'),
      weight,
      kind: name === 'embeddings' ? 'embedding' : 'linear',
      in_features: product(weight.shape.slice(0, -outer)),
      out_features: product(weight.shape.slice(-outer)),
    };
  });
}

const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);

/** "lstm/lstm_cell/kernel" -> lstm, kernel */
function partsOf(name: string): string[] {
  const parts = name.split('/');
  return parts.length > 2 && CELL.test(parts.at(-2)!)
    ? [...parts.slice(0, -2), parts.at(-1)!]
    : parts;
}

/** A layer of a topology. */
export interface TopologyLayer {
  readonly name: string;
  readonly class_name: string;
  readonly config: Readonly<Record<string, unknown>>;
}

const nameOf = (name: unknown): string => (typeof name === 'string' ? name : '');

/** A layer or model of a topology, with nothing where it is no layer. */
export function topologyLayer(value: unknown): TopologyLayer {
  const { class_name, config, name } = isObject(value) ? value : {};
  // models of old versions of Keras have their layers as the config
  const old = Array.isArray(config) ? { layers: config as unknown[] } : {};
  const own: Readonly<Record<string, unknown>> = isObject(config) ? config : old;
  return { name: nameOf(own['name'] ?? name), class_name: nameOf(class_name), config: own };
}

/** The layers of a model, including those of models and wrappers in it. */
export function topologyLayers({ topology }: Pick<LayersModelFile, 'topology'>): TopologyLayer[] {
  const found: TopologyLayer[] = [];
  const visit = (value: unknown, isModel: boolean): void => {
    if (!isObject(value)) return;
    const { class_name, config } = value;
    if (typeof class_name !== 'string') return;
    const own = isObject(config) ? config : {};
    const layers = Array.isArray(config) ? (config as unknown[]) : own['layers'];
    if (!isModel && !Array.isArray(layers))
      found.push({ name: nameOf(own['name'] ?? value['name']), class_name, config: own });
    for (const inner of [
      ...(Array.isArray(layers) ? (layers as unknown[]) : []),
      own['layer'],
      own['cell'],
      ...(Array.isArray(own['cells']) ? (own['cells'] as unknown[]) : []),
    ])
      visit(inner, false);
  };
  visit(topology, true);
  return found;
}

/** The layers in [["name", call, output, {}], …], or lists of these, or one alone. */
export function namesOfCalls(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  if (typeof value[0] === 'string') return [value[0]];
  return value.flatMap((own: unknown) => namesOfCalls(own));
}

/** The shape of a model's input without the batch; null: unknown. Sizes that vary are null. */
export function inputShape(
  model: Pick<LayersModelFile, 'topology'>,
): readonly (number | null)[] | null {
  for (const { config } of topologyLayers(model)) {
    const shape = config['batch_input_shape'] ?? config['batchInputShape'] ?? config['batch_shape'];
    if (Array.isArray(shape))
      return shape.slice(1).map((side: unknown) => (typeof side === 'number' ? side : null));
  }
  return null;
}
