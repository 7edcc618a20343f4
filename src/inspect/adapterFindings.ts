import { adapterBytes, detectAdapter, type FoundAdapter } from '../formats/adapterFormat';
import { readDescribedAdapter } from '../formats/describedAdapter';
import { describeZeroUpdate } from '../lora/zeroUpdate';
import { LoraError } from '../shared/errors';
import type { AdapterFindings } from './questions';

/** Reading larger adapters would keep the user waiting. */
const MAX_BYTES = 1 << 28;

const NOTHING: AdapterFindings = { findings: [], tooLarge: null };

/** What there is to say of the adapter that a file holds or belongs to; nothing of other files. */
export async function adapterFindings(file: string): Promise<AdapterFindings> {
  const found = await detectAdapter(file).catch(() => null);
  if (!found) return NOTHING;
  return findingsOf(found).catch((error: unknown) => ({
    ...NOTHING,
    findings: [LoraError.from(error, 'adapter').describe()],
  }));
}

async function findingsOf(found: FoundAdapter): Promise<AdapterFindings> {
  const bytes = await adapterBytes(found);
  if (bytes > MAX_BYTES) return { ...NOTHING, tooLarge: bytes };
  const { adapter, warnings } = await readDescribedAdapter(found);
  const zero = describeZeroUpdate(adapter);
  const messages = warnings.map(({ message }) => message);
  return { ...NOTHING, findings: [...(zero === null ? [] : [zero]), ...messages] };
}
