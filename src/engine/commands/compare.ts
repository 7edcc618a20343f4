import { stat } from 'node:fs/promises';
import path from 'node:path';
import { alignNames } from '../../formats/alignNames';
import { compareAdapters } from '../../lora/compare';
import { LoraError } from '../../shared/errors';
import { RUN_FILES } from '../../shared/run';
import { readAdapters } from '../adapters/readAdapters';
import { compareWithBase, type ComparedWithBase } from '../compare/againstBase';
import { canonicalTexts, describeComparison } from '../compare/text';
import { bindingFor } from '../model/backend';
import { useRuntime } from '../useRuntime';
import { defineCommand, form } from './command';
import { printResult, type CommandContext } from './context';
import { flag, optional } from './options';
import { anyText } from './optionValues';
import { withProgress } from './progress';

/** lora compare. */
export const compareCommand = defineCommand({
  name: 'compare',
  summary: 'Compares the updates of two adapters, module by module.',
  forms: [
    form({
      positionals: {
        a: { valueName: 'ADAPTER_A', help: 'an adapter, or a run' },
        b: { valueName: 'ADAPTER_B', help: 'another adapter or run' },
      },
      options: {
        base: optional(anyText, 'PATH', 'base model: compare the updates with its weights too'),
        intruders: flag('with --base: count intruder dimensions (takes full SVDs)'),
      },
      check: ({ options: { base, intruders } }) =>
        intruders && base === null ? '--intruders needs --base.' : null,
      run: async ({ positionals, options: { base, intruders } }, context) => {
        const places = [
          await adapterPlace(positionals.a),
          await adapterPlace(positionals.b),
        ] as const;
        const { adapters, layers } =
          base === null
            ? { adapters: await readBoth(places, context), layers: null }
            : await readWithBase(base, places, { intruders, context });
        const [a, b] = adapters;
        const comparison = compareAdapters(a, b);
        const facts = {
          a: places[0],
          b: places[1],
          ...comparison,
          layers,
          texts: canonicalTexts(a, b),
        };
        printResult(context, facts, () => describeComparison(comparison, layers, places));
        return 0;
      },
    }),
  ],
});

async function readBoth(
  places: readonly [string, string],
  context: CommandContext,
): Promise<ComparedWithBase['adapters']> {
  const read = await readAdapters(places, null, { warn: context.warn, partial: false });
  const [a, b] = alignNames(read, places);
  return [a!, b!];
}

async function readWithBase(
  base: string,
  adapters: readonly [string, string],
  { intruders, context }: { readonly intruders: boolean; readonly context: CommandContext },
): Promise<ComparedWithBase> {
  const binding = intruders ? await bindingFor(await useRuntime(context), context.dist) : null;
  if (intruders && !binding) {
    throw new LoraError('runtime', 'Intruder dimensions need full SVDs by libtensorflow.', {
      fix: 'Install it (lora runtime --install), or do not look for intruders (--intruders).',
    });
  }
  return withProgress(context, ({ show }) =>
    compareWithBase({
      base,
      adapters,
      binding,
      warn: context.warn,
      signal: context.signal,
      onProgress: (fraction) => show('comparing', fraction),
    }),
  );
}

/** The adapter's folder or file; for a run, the adapter that it trained. */
async function adapterPlace(place: string): Promise<string> {
  const isRun = await stat(path.join(place, RUN_FILES.record)).then(
    () => true,
    () => false,
  );
  return path.resolve(isRun ? path.join(place, RUN_FILES.adapter) : place);
}
