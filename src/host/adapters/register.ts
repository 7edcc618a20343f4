import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';
import { AdapterFolders } from './adapterFolders';

/** What can be done with an adapter after training. Each command is loaded when first invoked. */
export function registerAdapters({ commands, context, jobs, store }: Services): vscode.Disposable {
  return vscode.Disposable.from(
    new AdapterFolders(),
    commands.add(COMMANDS.mergeAdapter, async (argument) => {
      const { mergeAdapterCommand } = await import('./mergeAdapter');
      await mergeAdapterCommand(jobs, store, argument);
    }),
    commands.add(COMMANDS.combineAdapters, async (argument) => {
      const { combineAdaptersCommand } = await import('./combineAdapters');
      await combineAdaptersCommand(jobs, store, argument);
    }),
    commands.add(COMMANDS.resizeAdapter, async (argument) => {
      const { resizeAdapterCommand } = await import('./resizeAdapter');
      await resizeAdapterCommand(jobs, store, argument);
    }),
    commands.add(COMMANDS.convertAdapter, async (argument) => {
      const { convertAdapterCommand } = await import('./convertAdapter');
      await convertAdapterCommand(jobs, store, argument);
    }),
    commands.add(COMMANDS.useAdapter, async (argument) => {
      const { useAdapterCommand } = await import('./useAdapter');
      await useAdapterCommand({ jobs, store, secrets: context.secrets }, argument);
    }),
    commands.add(COMMANDS.extractAdapter, async () => {
      const { extractAdapterCommand } = await import('./extractAdapter');
      await extractAdapterCommand(jobs);
    }),
    commands.add(COMMANDS.unmergeModel, async (argument) => {
      const { unmergeModelCommand } = await import('./unmergeModel');
      await unmergeModelCommand(jobs, argument);
    }),
  );
}
