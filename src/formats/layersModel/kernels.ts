import type { TargetableModule } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import { isAdaptedLayer } from './adaptedLayers';
import type { LayersModelFile } from './file';
import { inputShape, manifestMatrices, topologyLayers, type TopologyLayer } from './modules';

/** A kernel that LoRA can adapt. */
export interface LayersKernel {
  /** The name that adapters have for it. */
  readonly path: string;
  /** The layer's name and class, by which it can be chosen, too. */
  readonly layer: string;
  readonly className: string;
  readonly kind: 'linear' | 'embedding';
  readonly in_features: number;
  readonly out_features: number;
}

/** Classes of layers whose kernels are those of a cell. */
const RECURRENT = /^(?:SimpleRNN|GRU|LSTM)$/;

/** Of a layer that wraps another (TimeDistributed, Bidirectional), the class of that one. */
const classOf = ({ class_name, config: { layer } }: TopologyLayer): string =>
  isObject(layer) && typeof layer['class_name'] === 'string' ? layer['class_name'] : class_name;

/** The kernels that LoRA can adapt, by the manifest and the topology of a model. */
export function manifestKernels(file: LayersModelFile): LayersKernel[] {
  const classes = new Map(topologyLayers(file).map((own) => [own.name, classOf(own)]));
  return manifestMatrices(file).flatMap(({ path: own, weight, ...sizes }) => {
    const layer = layerOf(weight.name, classes);
    const found = classes.get(layer) ?? '';
    const className = RECURRENT.test(found) ? `${found}Cell` : found;
    const kind = sizes.kind === 'embedding' ? 'embedding' : 'linear';
    return isAdaptedLayer(className)
      ? [{ ...sizes, kind, path: own, layer, className } as const]
      : [];
  });
}

/** The layer of a weight: "model/conv1/conv/kernel" is of conv1/conv where that is a layer. */
function layerOf(weight: string, layers: ReadonlyMap<string, unknown>): string {
  const parts = weight.split('/').slice(0, -1);
  for (let end = parts.length; end > 0; end--)
    for (let start = 0; start < end; start++) {
      const name = parts.slice(start, end).join('/');
      if (layers.has(name)) return name;
    }
  return parts.at(-1) ?? '';
}

/** A kernel as target_modules can name it: also by its layer, and by the layer's class. */
export const moduleOfKernel = ({
  path,
  layer,
  className,
  kind,
  in_features,
  out_features,
}: LayersKernel): TargetableModule => ({
  path,
  kind,
  in_features,
  out_features,
  is_output: false,
  names: [layer, className],
});

/**
 * The shape of a row that a model reads.
 *
 * @throws LoraError('base') where the model does not say it, or it varies
 */
export function fixedInputShape(file: LayersModelFile): readonly number[] {
  const shape = inputShape(file);
  const sides = (shape ?? []).filter((side) => side !== null);
  if (shape !== null && shape.length > 0 && sides.length === shape.length) return sides;
  throw new LoraError(
    'base',
    shape === null || shape.length === 0
      ? 'The model does not say the shape of its input (batch_input_shape).'
      : `The model's input has sizes that vary: [${shape.map((side) => side ?? '?').join(', ')}].`,
    {
      place: { file: file.path, key: 'modelTopology' },
      fix: 'Save the model with an input of fixed sizes.',
    },
  );
}

/** Whether rows of this shape can be images: height, width, and grey or colours. */
export const isImageShape = ([, , channels, ...others]: readonly number[]): boolean =>
  (channels === 1 || channels === 3) && others.length === 0;
