import * as vscode from 'vscode';
import { chooseAdapter, selectedAdapters } from '../adapters/chooseAdapter';
import { chooseBaseOf } from '../adapters/chooseModel';
import { t } from '../text/l10n';
import type { RunStore } from '../runs/runStore';
import { chooseRun } from '../runs/chooseRun';
import { PartNode } from '../runs/runNodes';
import type { PlaygroundPanels } from './playgroundPanels';

/**
 * Opens the playground of an adapter's base with that adapter, with all selected ones, or with the
 * paths given as an array.
 *
 * @throws LoraError('adapter') when there is no adapter.
 */
export async function tryAdapterCommand(
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
  if (Array.isArray(argument) && argument.every((place) => typeof place === 'string'))
    return argument;
  const selected = selectedAdapters(selection);
  if (selected.length > 1) return selected;
  const adapter = await chooseAdapter(store, argument, t('Select an adapter to try'));
  return adapter === undefined ? [] : [adapter];
}

/** The model that a command was invoked on: a file, a folder, or a run's. A text names a run. */
function modelOf(argument: unknown): string | undefined {
  if (argument instanceof PartNode && argument.part.kind === 'model') return argument.part.path;
  return argument instanceof vscode.Uri ? argument.fsPath : undefined;
}

/**
 * Opens the playground of a model without adapters: one given by its path, or made by a run's full
 * fine-tuning.
 *
 * @throws LoraError('run') when there is none.
 */
export async function tryModelCommand(
  panels: PlaygroundPanels,
  store: RunStore,
  argument: unknown,
): Promise<void> {
  const model = modelOf(argument);
  if (model !== undefined) {
    panels.show(model, []);
    return;
  }
  const run = await chooseRun(store, argument, {
    placeholder: t('Select a model to try'),
    fits: ({ model }) => model !== null,
    none: t('There is no model yet. Runs with training.method "full" save one.'),
  });
  if (run) panels.show(run.model!, []);
}
