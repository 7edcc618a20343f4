import * as vscode from 'vscode';
import { adapterLabels } from '../adapters/adapterNames';
import { chooseAdapter } from '../adapters/chooseAdapter';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { panelHost } from '../webview/panelHost';
import { PlaygroundPanels } from './playgroundPanels';

/** Try Adapter and Try Model: prompts to a model and its adapters, side by side. */
export function registerPlayground(services: Services): vscode.Disposable {
  const { cli, commands, context, errors, inspections, log, runtime, store } = services;
  const panels = new PlaygroundPanels({
    ...panelHost({ extensionUri: context.extensionUri, errors, log }, 'adapter'),
    cli,
    runtime,
    inspections,
    namesOf: (adapters) => adapterLabels(store, adapters),
    runs: () => store.runs,
    chooseAdapter: (without) =>
      chooseAdapter(store, undefined, t('Select an adapter to try'), without),
  });
  return vscode.Disposable.from(
    panels,
    commands.add(COMMANDS.tryAdapter, async (argument, selection) => {
      const { tryAdapterCommand } = await import('./tryCommands');
      await tryAdapterCommand(panels, store, argument, selection);
    }),
    commands.add(COMMANDS.tryModel, async (argument) => {
      const { tryModelCommand } = await import('./tryCommands');
      await tryModelCommand(panels, store, argument);
    }),
  );
}
