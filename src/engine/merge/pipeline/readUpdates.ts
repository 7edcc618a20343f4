import { detectAdapter, readAdapter } from '../../../formats/adapterFormat';
import type { FileModule } from '../../../formats/loraFile/lycoris';
import { readLoraModules } from '../../../formats/loraFile/read';
import { lowRankRows } from '../../../lora/rowUpdates';
import { LoraError } from '../../../shared/errors';
import { warnOfProblems } from '../../report';
import type { AdapterUpdates, NamedUpdate } from './updates';

/**
 * Reads the updates of an adapter of any format, times `scale`.
 *
 * @throws LoraError('adapter') naming the file, including for what an image model cannot take.
 */
export async function readUpdates(
  file: string,
  { scale, warn }: { readonly scale: number; readonly warn: (message: string) => void },
): Promise<AdapterUpdates> {
  const found = await detectAdapter(file);
  if (found.format === 'kohya' || found.format === 'diffusers') {
    const { modules, warnings } = await readLoraModules(found.path, null);
    warnOfProblems(warnings, warn);
    return { file, updates: modules.map((own) => updateOf(own, scale)) };
  }
  const { adapter, warnings } = await readAdapter(found, null);
  warnOfProblems(warnings, warn);
  const [trained] = adapter.trained;
  if (trained)
    throw new LoraError(
      'adapter',
      `The adapter trains ${trained.name} in full, which is not merged into image models.`,
      { place: { file }, fix: 'Train LoRA alone, or merge it with the program that trained it.' },
    );
  const updates = adapter.modules.map((factors) => updateOf({ kind: 'lora', factors }, scale));
  return { file, updates };
}

function updateOf(own: FileModule, scale: number): NamedUpdate {
  if (own.kind === 'lycoris') return { path: own.path, update: own.rows(scale) };
  const { factors } = own;
  const update = lowRankRows({ ...factors, scaling: factors.scaling * scale });
  return { path: factors.path, update };
}
