import * as vscode from 'vscode';
import { triedRuns } from '../../formats/run/triedRuns';
import { COMMANDS } from '../commands/commandTable';
import { adapterLabel } from '../adapters/adapterNames';
import type { Jobs } from '../jobs/jobs';
import { chooseRecipe } from '../recipe/chooseRecipe';
import { isActive } from '../runs/run';
import type { RunStore } from '../runs/runStore';
import type { Services } from '../services';
import { panelHost } from '../webview/panelHost';
import { readDatasetFacts } from '../setup/datasetFacts';
import type { UsedRank } from './advice';
import { configurePanels } from './configurePanels';

/** Configure Rank and Targets: on a page, or by quick picks. */
export function registerConfigure(services: Services): vscode.Disposable {
  const { commands, context, errors, inspections, jobs, log, store } = services;
  const opened = new Set<string>();
  const panels = configurePanels({
    ...panelHost({ extensionUri: context.extensionUri, errors, log }, 'adapter'),
    inspections,
    newestAdapter: (recipe) =>
      store.runs.find((run) => run.recipePath === recipe && run.adapter !== null && !isActive(run))
        ?.adapter ?? null,
    usedRank: (adapter) => readUsedRank(jobs, store, adapter),
    triedRuns: () => triedRuns(store.runs.map(({ dir }) => dir)),
    onDidChangeRuns: store.onDidChange,
    wasOpened: (recipe) => opened.has(recipe),
    datasetFacts: (recipe) => readDatasetFacts(jobs, recipe),
    chooseBase: async (recipe) => {
      const { chooseBase } = await import('./chooseBase');
      await chooseBase(services, recipe);
    },
    resize: async (adapter, rank) => {
      const { resizeAdapterCommand } = await import('../adapters/resizeAdapter');
      await resizeAdapterCommand(jobs, store, adapter, ['--rank', String(rank)]);
    },
  });
  return vscode.Disposable.from(
    panels,
    commands.add(COMMANDS.configureRank, async (argument) => {
      const recipe = await chooseRecipe(argument);
      if (!recipe) return;
      opened.add(recipe.fsPath);
      panels.show(recipe.fsPath);
    }),
    commands.add(COMMANDS.pickRank, async (argument) => {
      const recipe = await chooseRecipe(argument);
      if (!recipe) return;
      const { pickRank } = await import('./pickRank');
      await pickRank(services, recipe);
    }),
  );
}

/** How much of its rank an adapter uses; null in a workspace that is not trusted. */
async function readUsedRank(
  jobs: Jobs,
  store: RunStore,
  adapter: string,
): Promise<UsedRank | null> {
  if (!vscode.workspace.isTrusted) return null;
  const { r, rank_99 } = await jobs.ask<{ readonly r: number; readonly rank_99: number }>([
    'inspect',
    adapter,
  ]);
  return { run: adapterLabel(store, adapter), adapter, paid: r, kept: rank_99 };
}
