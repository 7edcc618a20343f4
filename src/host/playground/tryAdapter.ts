import { chooseAdapter, markedAdapters } from '../adapters/chooseAdapter';
import { chooseBaseOf } from '../adapters/chooseModel';
import { t } from '../text/l10n';
import type { RunStore } from '../runs/runStore';
import type { PlaygroundPanels } from './playgroundPanels';

/**
 * Opens the playground of an adapter's base with the adapter, with all that are marked, or with
 * those that are named. Errors: LoraError.
 */
export async function tryAdapter(
  panels: PlaygroundPanels,
  store: RunStore,
  argument: unknown,
  selection: readonly unknown[],
): Promise<void> {
  const adapters = await adaptersOf(store, argument, selection);
  const [first] = adapters;
  const base = first === undefined ? undefined : await chooseBaseOf(first);
  if (base !== undefined) panels.show(base, adapters);
}

async function adaptersOf(
  store: RunStore,
  argument: unknown,
  selection: readonly unknown[],
): Promise<readonly string[]> {
  if (Array.isArray(argument) && argument.every((own) => typeof own === 'string')) return argument;
  const marked = markedAdapters(selection);
  if (marked.length > 1) return marked;
  const adapter = await chooseAdapter(store, argument, t('Which adapter to try?'));
  return adapter === undefined ? [] : [adapter];
}
