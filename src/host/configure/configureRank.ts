import * as vscode from 'vscode';
import { COMMANDS } from '../manifest/ids';
import type { CommandRegistry } from '../commands/commandRegistry';
import type { Jobs } from '../jobs/jobs';
import { chooseRecipe } from '../recipe/runRecipe';
import type { RunStore } from '../runs/runStore';
import type { UsedRank } from './advice';
import {
  configurePanels,
  type ConfigurePanels,
  type ConfigurePanelOptions,
} from './configurePanels';

export interface ConfigureRankParts extends Pick<
  ConfigurePanelOptions,
  'extensionUri' | 'report' | 'log'
> {
  readonly jobs: Jobs;
  readonly store: RunStore;
}

/**
 * Configure Rank and Targets: the page, and the same choices as a quick pick. The pages are the
 * caller's to dispose.
 */
export function registerConfigureRank(
  commands: CommandRegistry,
  { jobs, store, ...options }: ConfigureRankParts,
): ConfigurePanels {
  const panels = configurePanels({
    ...options,
    usedRank: (recipe) => usedRank(jobs, store, recipe),
    resize: async (adapter, rank) =>
      (await import('../adapters/resizeAdapter')).resizeAdapterCommand(jobs, store, adapter, [
        '--rank',
        String(rank),
      ]),
  });
  commands.add(COMMANDS.configureRank, 'recipe', async (argument) => {
    const recipe = await chooseRecipe(argument);
    if (recipe) panels.show(recipe.fsPath);
  });
  commands.add(COMMANDS.pickRank, 'recipe', async (argument) => {
    const recipe = await chooseRecipe(argument);
    if (recipe) await (await import('./pickRank')).pickRank(recipe);
  });
  return panels;
}

/** What the newest adapter of a recipe has used of its rank. Null: there is none. */
async function usedRank(jobs: Jobs, store: RunStore, recipe: string): Promise<UsedRank | null> {
  if (!vscode.workspace.isTrusted) return null;
  await store.refresh();
  const run = store.runs.find((own) => own.recipePath === recipe && own.adapter !== null);
  if (!run) return null;
  const { r, rank_99 } = await jobs.ask<{ readonly r: number; readonly rank_99: number }>([
    'inspect',
    run.adapter!,
  ]);
  return { run: run.name, adapter: run.adapter!, paid: r, kept: rank_99 };
}
