import path from 'node:path';
import { writeJson } from '../../common/atomicWrite';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { isObject } from '../../shared/values';

/**
 * Names the base of an adapter that was brought here by its path here: the engine on the target has
 * written the one there. A name of a hub stays.
 *
 * @throws LoraError('disk')
 */
export async function nameBaseHere(adapter: string, base: string): Promise<void> {
  const file = path.join(adapter, 'adapter_config.json');
  const config = await readConfig(file);
  const there = config?.['base_model_name_or_path'];
  if (typeof there !== 'string' || !path.posix.isAbsolute(there) || there === base) return;
  await writeJson(file, { ...config, base_model_name_or_path: base });
}

/** Null for none, and for one that readers of adapters will refuse. */
async function readConfig(file: string): Promise<Record<string, unknown> | null> {
  try {
    const limits = { maxBytes: MAX_BYTES.writtenByPeople, links: 'refused' } as const;
    const value: unknown = JSON.parse(await readTextFile(file, limits));
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}
