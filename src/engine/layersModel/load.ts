import { refuseSeveral, refuseUnknownClasses } from '../../formats/layersModel/classes';
import type { LayersModelFile, StoredWeight } from '../../formats/layersModel/file';
import type { WeightBytes } from '../../formats/layersModel/weights';
import { LoraError } from '../../shared/errors';
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
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  refuseUnknownClasses(file, (name) => Object.hasOwn(classNameMap, name));
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
    // a sequential model has no names of its inputs
    const named = (tensors: readonly unknown[], names: readonly string[]) =>
      tensors.map((_, i) => names[i] ?? '');
    refuseSeveral(file.path, {
      inputs: named(model.inputs, model.inputNames),
      outputs: named(model.outputs, model.outputNames),
    });
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
