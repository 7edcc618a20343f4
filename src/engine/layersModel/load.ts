import type { LayersModelFile, StoredWeight } from '../../formats/layersModel/file';
import { topologyLayers } from '../../formats/layersModel/modules';
import type { WeightBytes } from '../../formats/layersModel/weights';
import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import type { LayersModel, Tf } from '../../tfjs/tf';

/** A model.json with its weights in memory. */
export interface LayersModelParts {
  readonly file: LayersModelFile;
  readonly weights: ReadonlyMap<string, WeightBytes>;
}

/**
 * Makes a model of tfjs. The caller disposes of it.
 *
 * @throws LoraError('base') naming the layer that tfjs does not have, or what else it refuses.
 */
export async function loadLayersModel(
  tf: Tf,
  { file, weights }: LayersModelParts,
): Promise<LayersModel> {
  refuseUnknownClasses(tf, file);
  const all = [...weights.values()];
  const model = await tf
    .loadLayersModel({
      load: () =>
        Promise.resolve({
          modelTopology: file.topology,
          weightSpecs: all.map(({ weight }) => weight as tfSpec),
          weightData: joined(all),
        }),
    })
    .catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      throw new LoraError('base', `TensorFlow.js refuses the model: ${reason}`, {
        place: { file: file.path },
        fix: 'Correct the model, or save or convert it again.',
        cause: error,
      });
    });
  try {
    refuseSeveral(model, file.path);
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/** The type of tfjs, whose optional keys may not be undefined. */
type tfSpec = Omit<StoredWeight, 'quantization'>;

function joined(all: readonly WeightBytes[]): ArrayBuffer {
  const bytes = new Uint8Array(all.reduce((sum, own) => sum + own.bytes.length, 0));
  let at = 0;
  for (const own of all) {
    bytes.set(own.bytes, at);
    at += own.bytes.length;
  }
  return bytes.buffer;
}

/** Keys of a layer that name a function of tfjs. */
const FUNCTIONS = ['activation', 'recurrent_activation'] as const;

/** @throws LoraError('base') for a layer or activation that is not one of tfjs' own. */
function refuseUnknownClasses(tf: Tf, file: LayersModelFile): void {
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  const refuse = (layer: string, what: string) =>
    new LoraError('base', `The layer ${JSON.stringify(layer)} ${what}.`, {
      place: { file: file.path, key: 'modelTopology' },
      fix: 'Only layers of TensorFlow.js itself are run: replace the layer, and save the model again.',
    });
  for (const { name, class_name, config } of topologyLayers(file)) {
    if (!Object.hasOwn(classNameMap, class_name))
      throw refuse(
        name,
        `is of the class ${JSON.stringify(class_name)}, which TensorFlow.js does not have`,
      );
    for (const key of FUNCTIONS) {
      const value = config[key];
      const used = isObject(value) ? value['class_name'] : value;
      if (typeof used !== 'string' || Object.hasOwn(classNameMap, camelCase(used))) continue;
      throw refuse(
        name,
        `has the ${key.replace('_', ' ')} ${JSON.stringify(used)}, which TensorFlow.js does not have`,
      );
    }
  }
}

/** hard_sigmoid, as Keras writes it -> hardSigmoid, as tfjs calls it */
const camelCase = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** @throws LoraError('base') for a model with several inputs or outputs. */
function refuseSeveral(
  { inputNames, inputs, outputNames, outputs }: LayersModel,
  file: string,
): void {
  for (const [what, tensors, names] of [
    ['inputs', inputs, inputNames],
    ['outputs', outputs, outputNames],
  ] as const)
    if (tensors.length !== 1)
      throw new LoraError(
        'base',
        `The model has ${tensors.length} ${what} (${names.join(', ')}); only models with one are trained.`,
        {
          place: { file, key: 'modelTopology' },
          fix: 'Make a model with one input and one output of it.',
        },
      );
}
