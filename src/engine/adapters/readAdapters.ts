import { readAnyAdapter } from '../../formats/adapterFormat';
import type { BaseModel } from '../../formats/baseModel';
import type { FitOptions } from '../../formats/peft/againstBase';
import type { Adapter } from '../../lora/adapter';
import { warnOfProblems } from '../report';

/**
 * Reads adapters of any format, in order, and passes their warnings on.
 * @throws LoraError('adapter') that names the file; with a base, including when an adapter does not
 *   fit.
 */
export async function readAdapters(
  folders: readonly string[],
  base: BaseModel | null,
  { warn, ...fit }: FitOptions & { readonly warn: (message: string) => void },
): Promise<Adapter[]> {
  const adapters: Adapter[] = [];
  for (const folder of folders) {
    const { adapter, warnings } = await readAnyAdapter(folder, base, fit);
    warnOfProblems(warnings, warn);
    adapters.push(adapter);
  }
  return adapters;
}
