import { stat } from 'node:fs/promises';
import path from 'node:path';
import { readPeftAdapter } from '../../formats/peft/read';
import { compareAdapters } from '../../lora/compare';
import { RUN_FILES } from '../../shared/run';
import { compareWithBase } from '../compare/againstBase';
import { canonicalText, comparisonText } from '../compare/text';
import type { Context } from './context';
import { readOptions, usageError } from './options';

export const COMPARE_USAGE = 'lora compare ADAPTER_A ADAPTER_B [--base PATH] [--json]';

/** Compares what two adapters do to each layer, from their factors; with a base also how large that is beside its weights. */
export async function compare(args: readonly string[], context: Context): Promise<number> {
  const { values, positionals } = readOptions(args, { base: { type: 'string' } }, COMPARE_USAGE);
  if (positionals.length !== 2) throw usageError('Name two adapters', COMPARE_USAGE);
  const folders = await Promise.all(positionals.map(adapterIn)) as [string, string];
  const { adapters: [a, b], layers } = values.base === undefined
    ? { adapters: [(await readPeftAdapter(folders[0])).adapter, (await readPeftAdapter(folders[1])).adapter] as const, layers: null }
    : await compareWithBase(values.base, folders, context.signal);
  const comparison = compareAdapters(a, b);
  context.print(context.json
    ? JSON.stringify({ kind: 'result', a: folders[0], b: folders[1], ...comparison, ...(layers && { layers }), texts: { a: canonicalText(a), b: canonicalText(b) } })
    : comparisonText(comparison, layers, folders));
  return 0;
}

/** A run's adapter where a run is named. */
async function adapterIn(folder: string): Promise<string> {
  const isRun = await stat(path.join(folder, RUN_FILES.record)).then(() => true, () => false);
  return path.resolve(isRun ? path.join(folder, RUN_FILES.adapter) : folder);
}
