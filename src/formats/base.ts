import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { TargetableModule } from '../lora/types';
import { LoraError } from '../shared/errors';
import { reason } from './files';
import { openGgufBase } from './gguf/base';
import { openFolderBase } from './huggingface';
import type { BaseModel } from './types';

/** Opens a base model: a Hugging Face folder or a .gguf file. Reads headers only. Errors: LoraError('base') saying what is wrong and where. */
export async function openBase(file: string): Promise<BaseModel> {
  const found = await stat(file).catch((error: unknown) => {
    throw new LoraError('base', `There is no base model: ${reason(error)}.`, { place: { file }, fix: 'Name a Hugging Face model folder or a .gguf file.', cause: error });
  });
  if (found.isDirectory()) {
    if (!await stat(path.join(file, 'config.json')).catch(() => null)) {
      throw new LoraError('base', 'The folder is not a model: it has no config.json.', { place: { file }, fix: 'Name a Hugging Face model folder or a .gguf file.' });
    }
    return openFolderBase(file);
  }
  if (file.endsWith('.safetensors')) throw new LoraError('base', 'A .safetensors file alone is not a base model.', { place: { file }, fix: `Name its folder, ${path.dirname(file)}.` });
  return openGgufBase(file);
}

/** The layers that LoRA can adapt, told by their weights: matrices are linear layers, the embedding apart. The tied output layer counts too. */
export function targetableModules(base: BaseModel): TargetableModule[] {
  const modules = [...base.weights.tensors.values()].flatMap(({ name, shape }): TargetableModule[] => {
    const [rows, columns] = shape;
    if (shape.length !== 2 || rows === undefined || columns === undefined || !name.endsWith('.weight')) return [];
    const module = name.slice(0, -'.weight'.length);
    return [isEmbedding(module)
      ? { path: module, kind: 'embedding', in_features: rows, out_features: columns, is_output: false }
      : { path: module, kind: 'linear', in_features: columns, out_features: rows, is_output: module === 'lm_head' }];
  });
  const embedding = modules.find((m) => m.kind === 'embedding');
  const tied = embedding && base.config['tie_word_embeddings'] === true && !modules.some((m) => m.is_output);
  const output: TargetableModule[] = tied ? [{ path: 'lm_head', kind: 'linear', in_features: embedding.out_features, out_features: embedding.in_features, is_output: true }] : [];
  return [...modules, ...output].sort((a, b) => compareModulePaths(a.path, b.path));
}

const isEmbedding = (path: string) => /(^|\.)embed_tokens$/.test(path);

/** By layer number, not by text: layer 2 before layer 10. */
export function compareModulePaths(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}
