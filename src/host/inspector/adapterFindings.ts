import { adapterBytes, detectAdapter, type FoundAdapter } from '../../formats/adapterFormat';
import { readDescribedAdapter } from '../../formats/describedAdapter';
import { describeZeroUpdate } from '../../lora/zeroUpdate';
import { LoraError } from '../../shared/errors';
import { formatBytes } from '../text/format';
import { t } from '../text/l10n';

/** Reading larger adapters would keep the editor waiting. */
const MAX_BYTES = 1 << 28;

/**
 * What `lora inspect` says of the adapter that a file holds or belongs to: that it changes nothing,
 * what in its config matches nothing, or why it cannot be used. Empty for other files.
 */
export async function adapterFindings(file: string): Promise<readonly string[]> {
  const found = await detectAdapter(file).catch(() => null);
  if (!found) return [];
  return findingsOf(found).catch((error: unknown) => [LoraError.from(error, 'adapter').describe()]);
}

async function findingsOf(found: FoundAdapter): Promise<readonly string[]> {
  const bytes = await adapterBytes(found);
  if (bytes > MAX_BYTES)
    return [
      t('The adapter is too large to be checked here ({0}). Use lora inspect.', formatBytes(bytes)),
    ];
  const { adapter, warnings } = await readDescribedAdapter(found);
  const zero = describeZeroUpdate(adapter);
  return [...(zero === null ? [] : [zero]), ...warnings.map(({ message }) => message)];
}
