import path from 'node:path';
import { readAdapterTask } from '../../formats/peft/task';
import { writePeftAdapter, type AdapterFacts } from '../../formats/peft/write';
import type { Adapter } from '../../lora/adapter';
import { checkOutput } from '../outputPath';

/** Where a derived adapter comes from. */
export interface Derivation {
  /** The adapters or models that it was made from. */
  readonly sources: readonly string[];
  /** How it was made: the title of its model card. */
  readonly title: string;
  /** Its task and labels; those of the first source, an adapter, if left out. */
  readonly facts?: Pick<AdapterFacts, 'task' | 'labels'>;
}

/**
 * Writes an adapter that was made from others, as a folder in PEFT's format.
 * @throws LoraError('usage') when the output exists, or overlaps with one of the sources.
 */
export async function writeDerivedAdapter(
  output: string,
  adapter: Adapter,
  { sources, title, facts }: Derivation,
): Promise<void> {
  await checkOutput(output, sources);
  const { task, labels } = facts ?? (await readAdapterTask(sources[0]!));
  const card = modelCard(adapter.config.base_model_name_or_path, sources, title);
  await writePeftAdapter(output, adapter, { task: task ?? 'image_cls', labels, card });
}

const modelCard = (base: string | null, sources: readonly string[], title: string): string =>
  [
    '---',
    ...(base === null ? [] : [`base_model: ${JSON.stringify(base)}`]),
    'library_name: peft',
    'tags:',
    '- lora',
    '---',
    '',
    `# LoRA adapter: ${title}`,
    '',
    'Made from:',
    '',
    ...sources.map((source) => `- ${path.resolve(source)}`),
    '',
  ].join('\n');
