import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Adapter } from '../../lora/types';
import { replaceFolder } from '../files';
import { writeSafetensors, type TensorToWrite } from '../safetensors/write';
import { adapterConfigText } from './config';
import { factorShape, tensorName } from './names';
import { CONFIG_FILE, WEIGHTS_FILE } from './read';

export interface AdapterFacts {
  /** PEFT's TaskType: CAUSAL_LM, … */
  readonly task_type: string;
  /** Text of README.md, the model card. */
  readonly card: string;
}

/** Writes an adapter folder as PEFT does, whole or not at all; an existing one stays until the new one is complete. Errors: LoraError('disk'). */
export async function writePeftAdapter(folder: string, adapter: Adapter, facts: AdapterFacts): Promise<void> {
  await replaceFolder(folder, (temp) => fillAdapterFolder(temp, adapter, facts));
}

/** The files of an adapter, into a folder that exists. */
export async function fillAdapterFolder(folder: string, adapter: Adapter, { task_type, card }: AdapterFacts): Promise<void> {
  await writeSafetensors(path.join(folder, WEIGHTS_FILE), adapterTensors(adapter));
  await writeFile(path.join(folder, CONFIG_FILE), adapterConfigText(adapter.config, task_type), { flush: true });
  await writeFile(path.join(folder, 'README.md'), card, { flush: true });
}

function adapterTensors({ modules }: Adapter): TensorToWrite[] {
  return modules.flatMap((module) => (['A', 'B'] as const).map((factor) => ({
    name: tensorName(module, factor), dtype: 'F32' as const, shape: factorShape(module, factor), data: module[factor],
  })));
}
