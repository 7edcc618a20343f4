import path from 'node:path';
import { readAdapter, type FoundAdapter } from './adapterFormat';
import { readGgufAdapter } from './gguf/adapter';
import type { ImportedAdapter } from './importedAdapter';
import { CONFIG_FILE } from './peft/fileNames';
import { unmatchedEntries } from './peft/unmatchedEntries';

/**
 * An adapter as it is described where no base is given: with the warnings of entries in its config
 * that match none of its modules.
 *
 * @throws LoraError('adapter') naming file, tensor or key.
 */
export async function readDescribedAdapter(found: FoundAdapter): Promise<ImportedAdapter> {
  if (found.format === 'gguf') return readGgufAdapter(found.path, 'as stored');
  const read = await readAdapter(found, null);
  if (found.format !== 'peft') return read;
  const unmatched = unmatchedEntries(read.adapter, path.join(found.path, CONFIG_FILE));
  return { ...read, warnings: [...read.warnings, ...unmatched] };
}
