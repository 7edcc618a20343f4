import { openBase } from '../../formats/openBase';
import { detectAdapter } from '../../formats/adapterFormat';
import { readAdapterTask } from '../../formats/peft/task';
import { openBaseUnder } from '../../formats/peft/vocabulary';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { baseOptionsOf } from '../model/openModel';
import { readAdapters } from './readAdapters';

/** Adapters that are made into another one. */
export interface ReadSources {
  readonly adapters: readonly Adapter[];
  readonly base: BaseModel | null;
}

/**
 * Reads adapters of any format, and checks them against their base when that is named; passes both
 * to `use` and closes the base.
 *
 * @throws LoraError naming the file, including when an adapter cannot be read without its base, or
 *   only
 *   some of its modules would be used.
 */
export async function withAdapters<T>(
  paths: readonly string[],
  named: string | null,
  context: { readonly warn: (message: string) => void },
  use: (sources: ReadSources) => Promise<T>,
): Promise<T> {
  const base = named === null ? null : await openBaseOf(paths[0]!, named);
  try {
    const adapters = await readAdapters(paths, base, { warn: context.warn, partial: false });
    return await use({ adapters, base });
  } finally {
    await base?.close();
  }
}

/** The base with the head and the vocabulary that an adapter brings. */
async function openBaseOf(adapter: string, named: string): Promise<BaseModel> {
  const found = await detectAdapter(adapter);
  if (found.format !== 'peft') return openBase(named);
  return openBaseUnder(named, found.path, baseOptionsOf(await readAdapterTask(found.path)));
}
