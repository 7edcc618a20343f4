import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Adapter, AdapterConfig } from '../../lora/adapter';
import type { Task } from '../../shared/task';
import { replaceFolder } from '../../common/atomicWrite';
import { writeSafetensors } from '../safetensors/write';
import type { TensorToWrite } from '../tensorWriter';
import { adapterConfigText } from './config';
import { baseLayerName, type Factor, tensorName, tensorShape, trainedName } from './names';
import { CONFIG_FILE, WEIGHTS_FILE } from './read';
import { TASK_TYPES, writeLabels, type HeadLabels } from './task';

export interface AdapterFacts {
  readonly task: Task;
  /** What a head for labels tells apart. */
  readonly labels: HeadLabels | null;
  /** Text of README.md, the model card. */
  readonly card: string;
  /**
   * Reads a weight of the base; without it an adapted embedding's is not saved beside its factors,
   * as in checkpoints.
   */
  readonly baseTensor?: (name: string) => Promise<Float32Array>;
}

/**
 * Writes an adapter folder as PEFT does, whole or not at all; an existing one stays until the new
 * one is complete. Errors: LoraError('disk').
 */
export async function writePeftAdapter(
  folder: string,
  adapter: Adapter,
  facts: AdapterFacts,
): Promise<void> {
  await replaceFolder(folder, (temp) => fillAdapterFolder(temp, adapter, facts));
}

/** The files of an adapter, into a folder that exists. */
export async function fillAdapterFolder(
  folder: string,
  adapter: Adapter,
  { task, labels, card, baseTensor }: AdapterFacts,
): Promise<void> {
  await writeSafetensors(
    path.join(folder, WEIGHTS_FILE),
    await adapterTensors(adapter, baseTensor),
  );
  await writeFile(
    path.join(folder, CONFIG_FILE),
    adapterConfigText(adapter.config, TASK_TYPES[task]),
    { flush: true },
  );
  if (labels) await writeLabels(folder, labels);
  await writeFile(path.join(folder, 'README.md'), card, { flush: true });
}

async function adapterTensors(
  { config, modules, trained }: Adapter,
  baseTensor: AdapterFacts['baseTensor'],
): Promise<TensorToWrite[]> {
  const factors = modules.flatMap((module) => {
    const tensor = (factor: Factor, data: Float32Array): TensorToWrite => ({
      name: tensorName(module, factor),
      dtype: 'F32',
      shape: tensorShape(module, factor),
      data,
    });
    return [
      tensor('A', module.A),
      tensor('B', module.B),
      ...(module.magnitude ? [tensor('magnitude', module.magnitude)] : []),
    ];
  });
  const own = trained.map((tensor): TensorToWrite => ({
    name: trainedName(tensor, { modules }),
    dtype: 'F32',
    shape: tensor.shape,
    data: tensor.data,
  }));
  const frozen: TensorToWrite[] = [];
  for (const { path: at, in_features, out_features, kind } of baseTensor
    ? modules.filter((m) => savesBase(m.path, config))
    : []) {
    const shape = kind === 'embedding' ? [in_features, out_features] : [out_features, in_features];
    frozen.push({
      name: baseLayerName(at),
      dtype: 'F32',
      shape,
      data: await baseTensor!(`${at}.weight`),
    });
  }
  return [...factors, ...own, ...frozen];
}

/** PEFT saves an adapted embedding or output layer whole where target_modules names it so. */
function savesBase(modulePath: string, { target_modules }: AdapterConfig): boolean {
  const name = modulePath.slice(modulePath.lastIndexOf('.') + 1);
  return ['embed_tokens', 'lm_head'].includes(name) && target_modules.includes(name);
}
