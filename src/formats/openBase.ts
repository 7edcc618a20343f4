import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { TargetableModule } from '../lora/adapter';
import { LoraError } from '../shared/errors';
import { modulesOf, tiedWeight } from './architecture/modules';
import type { ReadSpecOptions } from './architecture/readSpec';
import { fileErrorReason } from '../common/fileStatus';
import { openGgufBase } from './gguf/base';
import { openFolderBase } from './huggingface';
import { isLayersModelPath } from './layersModel/file';
import type { BaseModel } from './baseModel';

const FIX = 'Name a Hugging Face model folder or a .gguf file.';

/**
 * Opens a base model: a Hugging Face folder or a .gguf file. Reads headers only, and checks them
 * against the config. Close the result.
 *
 * @throws LoraError('base') naming file, tensor or key.
 */
export async function openBase(file: string, options: ReadSpecOptions = {}): Promise<BaseModel> {
  const found = await stat(file).catch((error: unknown) => {
    throw new LoraError('base', `The base model cannot be opened: ${fileErrorReason(error)}.`, {
      place: { file },
      fix: FIX,
      cause: error,
    });
  });
  if (found.isDirectory()) return openFolderBase(file, options);
  if (file.endsWith('.safetensors'))
    throw new LoraError('base', 'A .safetensors file alone is not a base model.', {
      place: { file },
      fix: `Name its folder, ${path.dirname(file)}.`,
    });
  if (isLayersModelPath(file))
    throw new LoraError('base', 'A layers model of TensorFlow.js cannot be used here.', {
      place: { file },
      fix: 'It can be trained, evaluated, inspected and merged with its adapters.',
    });
  return openGgufBase(file, options);
}

/**
 * A weight as f32, by its module's name; that of a tied output layer is the embedding's.
 *
 * @throws LoraError naming file and tensor.
 */
export function readWeight(
  { spec, weights }: Pick<BaseModel, 'spec' | 'weights'>,
  name: string,
): Promise<Float32Array> {
  const tied = tiedWeight(spec);
  return weights.readF32(tied?.name === name ? tied.storedAs : name);
}

/** The layers that LoRA can adapt, with PEFT's names, in the model's order. */
export function targetableModules(base: Pick<BaseModel, 'spec'>): TargetableModule[] {
  return modulesOf(base.spec);
}
