import { readAnyAdapter } from '../../../formats/adapterFormat';
import { lowRankRows } from '../../../lora/rowUpdates';
import { LoraError } from '../../../shared/errors';
import { warnOfProblems } from '../../report';
import type { AdapterUpdates } from './updates';

/**
 * Reads the updates of an adapter of any format, times `scale`.
 *
 * @throws LoraError('adapter') naming the file, also for what an image model cannot take.
 */
export async function readUpdates(
  file: string,
  { scale, warn }: { readonly scale: number; readonly warn: (message: string) => void },
): Promise<AdapterUpdates> {
  const { adapter, warnings } = await readAnyAdapter(file, null);
  warnOfProblems(warnings, warn);
  const [trained] = adapter.trained;
  if (trained)
    throw new LoraError(
      'adapter',
      `The adapter trains ${trained.name} in full, which is not merged into image models.`,
      { place: { file }, fix: 'Train LoRA alone, or merge it with the program that trained it.' },
    );
  const updates = adapter.modules.map((m) => ({
    path: m.path,
    update: lowRankRows({ ...m, scaling: m.scaling * scale }),
  }));
  return { file, updates };
}
