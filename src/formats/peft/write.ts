import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Adapter, AdapterConfig, AdapterDtype } from '../../lora/adapter';
import { stackedModules, type StackedFactors } from '../../lora/experts';
import type { ModelTask } from '../../shared/task';
import { replaceFolder, type WriteFolder } from '../../common/atomicWrite';
import { DOTTED_NAMES } from '../kohya/names';
import { writeSafetensors } from '../safetensors/write';
import type { TensorToWrite } from '../tensorWriter';
import { adapterTensor } from '../adapterDtype';
import { adapterConfigText } from './configText';
import {
  baseLayerName,
  type Factor,
  stackedName,
  tensorName,
  tensorShape,
  trainedName,
} from './names';
import { CONFIG_FILE, WEIGHTS_FILE } from './fileNames';
import { TASK_TYPES, writeLabels, type HeadLabels } from './task';

/** What an adapter's folder says besides its weights. */
export interface AdapterFacts {
  readonly task: ModelTask;
  /** The labels of its classifier; null: none. */
  readonly labels: HeadLabels | null;
  /** Text of README.md, the model card. */
  readonly card: string;
  /**
   * Reads a weight of the base. Without it, the weight of an adapted embedding is not saved with
   * its factors, as in checkpoints.
   */
  readonly baseTensor?: (name: string) => Promise<Float32Array>;
}

/**
 * Writes an adapter's folder as PEFT does. An existing folder is replaced when the new one is
 * complete, or kept by `createFolder`.
 *
 * @throws LoraError('disk'); an existing folder stays.
 */
export async function writePeftAdapter(
  folder: string,
  adapter: Adapter,
  facts: AdapterFacts,
  place: WriteFolder = replaceFolder,
): Promise<void> {
  await place(folder, (temp) => fillAdapterFolder(temp, adapter, facts));
}

/** Writes the files of an adapter into an existing folder. */
export async function fillAdapterFolder(
  folder: string,
  adapter: Adapter,
  { task, labels, card, baseTensor }: AdapterFacts,
): Promise<void> {
  await writeSafetensors(
    path.join(folder, WEIGHTS_FILE),
    await adapterTensors(adapter, baseTensor),
    { format: 'pt', ...(adapter.has_dotted_names && DOTTED_NAMES) },
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
  adapter: Adapter,
  baseTensor: AdapterFacts['baseTensor'],
): Promise<TensorToWrite[]> {
  const { config, trained, dtype = 'F32' } = adapter;
  const { modules, stacked } = stackedModules(adapter);
  const factors = modules.flatMap((module) => {
    const tensor = (factor: Factor, data: Float32Array): TensorToWrite =>
      adapterTensor(
        { name: tensorName(module, factor), shape: tensorShape(module, factor), data },
        dtype,
      );
    return [
      tensor('A', module.A),
      tensor('B', module.B),
      ...(module.magnitude ? [tensor('magnitude', module.magnitude)] : []),
    ];
  });
  const own = trained.map((tensor) =>
    adapterTensor({ ...tensor, name: trainedName(tensor, { modules }) }, dtype),
  );
  const frozen: TensorToWrite[] = [];
  for (const module of modules) {
    if (!baseTensor || !savesBase(module.path, config)) continue;
    const { in_features, out_features } = module;
    frozen.push({
      name: baseLayerName(module.path),
      dtype: 'F32',
      shape:
        module.kind === 'embedding' ? [in_features, out_features] : [out_features, in_features],
      data: await baseTensor(`${module.path}.weight`),
    });
  }
  return [...factors, ...expertTensors(stacked, dtype), ...own, ...frozen];
}

function expertTensors(stacked: readonly StackedFactors[], dtype: AdapterDtype): TensorToWrite[] {
  return stacked.flatMap((own) => {
    const { module, num_experts, r, in_features, out_features, A, B } = own;
    const nested = stacked.some((other) => other !== own && other.module === module);
    const ranks = num_experts * r;
    return [
      { name: stackedName(own, 'A', nested), shape: [ranks, in_features], data: A },
      { name: stackedName(own, 'B', nested), shape: [out_features, ranks], data: B },
    ].map((tensor) => adapterTensor(tensor, dtype));
  });
}

/** Whether PEFT saves the weight of an adapted embedding or output layer, too. */
function savesBase(modulePath: string, { target_modules }: AdapterConfig): boolean {
  const name = modulePath.slice(modulePath.lastIndexOf('.') + 1);
  return ['embed_tokens', 'lm_head'].includes(name) && target_modules.includes(name);
}
