import path from 'node:path';
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { openPlace } from '../editor/openPlace';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { askWhileTyping, pickRow } from '../ui/inputs';
import { GROUPINGS, type Grouping } from './arrangeRuns';
import type { RecordedRecipes } from './recordedRecipes';
import { importRun } from './importRun';
import { PartNode } from './runNodes';
import type { RunsTree } from './runsTree';

/** Grouping, filtering and refreshing the Runs view, and opening the rows below a run. */
export function registerViewCommands(
  services: Services,
  recordedRecipes: RecordedRecipes,
): vscode.Disposable {
  const { commands, dashboards, runsTree, store } = services;
  const openPart = async ({ part, parent }: PartNode): Promise<void> => {
    switch (part.kind) {
      case 'samples':
        dashboards.show(parent.run.dir);
        return;
      case 'recipe':
        return recordedRecipes.open(parent.run);
      case 'log':
        return openPlace({ file: part.path });
      case 'adapter':
      case 'checkpoint': {
        const name = part.adapter === null ? 'state.json' : 'adapter_config.json';
        return openPlace({ file: path.join(part.path, name) });
      }
      case 'model':
        return openPlace({ file: path.join(part.path, 'config.json') });
    }
  };
  return vscode.Disposable.from(
    commands.add(COMMANDS.refreshRuns, () => store.refresh()),
    commands.add(COMMANDS.importRun, () => importRun(services)),
    commands.add(COMMANDS.groupRuns, () => askGrouping(runsTree)),
    commands.add(COMMANDS.filterRuns, () => askFilter(runsTree)),
    commands.add(COMMANDS.clearRunsFilter, () => runsTree.setFilter('')),
    commands.add(COMMANDS.openRunPart, async (argument) => {
      if (argument instanceof PartNode) await openPart(argument);
    }),
  );
}

const groupingName = (by: Grouping): string =>
  ({
    none: t('No grouping'),
    state: t('By state'),
    base: t('By base model'),
    dataset: t('By dataset'),
    recipe: t('By recipe'),
    rank: t('By rank'),
  })[by];

async function askGrouping(tree: RunsTree): Promise<void> {
  const items = GROUPINGS.map((by) => ({
    label: groupingName(by),
    description: by === tree.grouping ? t('current') : '',
    by,
  }));
  const picked = await pickRow(items, {
    placeHolder: t('Select how to group runs'),
  });
  if (picked) await tree.group(picked.by);
}

/** The view is filtered as the user types; Escape restores the filter from before. */
async function askFilter(tree: RunsTree): Promise<void> {
  const before = tree.filterText;
  const accepted = await askWhileTyping({
    title: t('Filter Runs'),
    value: before,
    placeholder: t(
      'Type a name, tag (#small), state, base model, dataset, or numbers (loss<0.4 r>=8)',
    ),
    onChange: (text) => tree.setFilter(text),
  });
  if (!accepted) tree.setFilter(before);
}
