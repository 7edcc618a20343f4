import { stat } from 'node:fs/promises';
import path from 'node:path';
import { readAnyAdapter } from '../../formats/adapterFormat';
import { compareAdapters } from '../../lora/compare';
import { LoraError } from '../../shared/errors';
import { RUN_FILES } from '../../shared/run';
import { compareWithBase } from '../compare/againstBase';
import { canonicalTexts, comparisonText } from '../compare/text';
import { bindingFor } from '../model/backend';
import { jobProgress } from './terminal';
import { useRuntime, type Context } from './context';
import { readOptions, usageError } from './options';

export const COMPARE_USAGE =
  'lora compare ADAPTER_A ADAPTER_B [--base PATH [--intruders]] [--json]';

/**
 * Compares what two adapters do to each layer, from their factors; with a base also how large that
 * is beside its weights, and which new directions it brings.
 */
export async function compare(args: readonly string[], context: Context): Promise<number> {
  const { values, positionals } = readOptions(
    args,
    { base: { type: 'string' }, intruders: { type: 'boolean' } },
    COMPARE_USAGE,
  );
  if (positionals.length !== 2) throw usageError('Name two adapters', COMPARE_USAGE);
  if (values.intruders && values.base === undefined)
    throw usageError('--intruders needs --base', COMPARE_USAGE);
  const places = (await Promise.all(positionals.map(adapterIn))) as [string, string];
  const {
    adapters: [a, b],
    layers,
  } =
    values.base === undefined
      ? { adapters: [await read(places[0]), await read(places[1])] as const, layers: null }
      : await withBase(values.base, places, values.intruders ?? false, context);
  const comparison = compareAdapters(a, b);
  context.print(
    context.json
      ? JSON.stringify({
          kind: 'result',
          a: places[0],
          b: places[1],
          ...comparison,
          layers,
          texts: canonicalTexts(a, b),
        })
      : comparisonText(comparison, layers, places),
  );
  return 0;
}

const read = async (place: string) => (await readAnyAdapter(place, null)).adapter;

async function withBase(
  base: string,
  adapters: readonly [string, string],
  intruders: boolean,
  context: Context,
) {
  const binding = intruders ? await bindingFor(await useRuntime(context), context.dist) : null;
  if (intruders && !binding)
    throw new LoraError('runtime', 'Intruders take full SVDs, which need libtensorflow.', {
      fix: 'Install it (lora runtime --install), or leave --intruders out.',
    });
  const progress = jobProgress(context);
  return compareWithBase({
    base,
    adapters,
    binding,
    signal: context.signal,
    onProgress: (fraction) => progress.show('comparing', fraction),
  }).finally(() => progress.end());
}

/** A run's adapter where a run is named. */
async function adapterIn(place: string): Promise<string> {
  const isRun = await stat(path.join(place, RUN_FILES.record)).then(
    () => true,
    () => false,
  );
  return path.resolve(isRun ? path.join(place, RUN_FILES.adapter) : place);
}
