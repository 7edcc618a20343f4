import path from 'node:path';
import { readAnyAdapter } from '../../formats/adapterFormat';
import { readAdapterTask } from '../../formats/peft/task';
import { writePeftAdapter, type AdapterFacts } from '../../formats/peft/write';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { checkOutput } from '../merge/place';
import { described } from '../commands/describe';

/** Adapters as they are on disk, without their base. Errors: LoraError naming the file. */
export async function readAdapters(
  folders: readonly string[],
  warn: (message: string) => void,
): Promise<Adapter[]> {
  const adapters: Adapter[] = [];
  for (const folder of folders) {
    const { adapter, warnings } = await readAnyAdapter(folder, null);
    for (const warning of warnings) warn(described(warning));
    adapters.push(adapter);
  }
  return adapters;
}

/**
 * Writes an adapter that was made of others, for the same task. Errors: LoraError where the output
 * lies in one of them, or is there already.
 */
export async function writeMadeAdapter(
  output: string,
  adapter: Adapter,
  sources: readonly string[],
  how: string,
  facts?: Pick<AdapterFacts, 'task' | 'labels'>,
): Promise<void> {
  await checkOutput(output, sources);
  const { task, labels } = facts ?? (await readAdapterTask(sources[0]!));
  const base = adapter.config.base_model_name_or_path;
  const card = [
    '---',
    ...(base === null ? [] : [`base_model: ${JSON.stringify(base)}`]),
    'library_name: peft',
    'tags:',
    '- lora',
    '---',
    '',
    `# LoRA adapter: ${how}`,
    '',
    'Made of:',
    '',
    ...sources.map((source) => `- ${path.resolve(source)}`),
    '',
  ].join('\n');
  await writePeftAdapter(output, adapter, { task: task ?? 'image_cls', labels, card });
}

/** What cannot be done with adapters, as an error of the folder that is named. */
export function refused(error: unknown, folder: string): never {
  if (error instanceof RangeError)
    throw new LoraError('adapter', error.message, { place: { file: folder }, cause: error });
  throw error;
}
