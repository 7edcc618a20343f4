import { readFile } from 'node:fs/promises';
import * as vscode from 'vscode';
import type { OverlaySubject } from '../../shared/pages/overlay/protocol';
import { parseRecipe } from '../../shared/recipeFile';
import type { CommandRegistry } from '../commands/commandRegistry';
import { COMMANDS } from '../manifest/ids';
import { t } from '../text/l10n';
import { chooseRecipe } from '../recipe/runRecipe';
import { QueuedNode } from '../runs/runNodes';
import type { RunQueue } from './runQueue';
import { parseRanks, writeSweep } from './sweepFiles';

const FIRST_RANKS = '1, 2, 4, 8, 16';

export interface QueueCommandParts {
  readonly queue: RunQueue;
  /** Saves the recipe and says what is wrong with it. Errors: LoraError('recipe'). */
  readonly checked: (recipe: vscode.Uri) => Promise<string>;
  readonly showOverlay: (subject: OverlaySubject) => void;
}

/** Runs that wait for their turn: put there, moved, taken out; and one recipe at many ranks. */
export function registerQueueCommands(
  commands: CommandRegistry,
  { queue, checked, showOverlay }: QueueCommandParts,
): void {
  commands.add(COMMANDS.queueRecipe, 'recipe', async (argument) => {
    const recipe = await chooseRecipe(argument);
    if (recipe) await queue.add([{ recipe: await checked(recipe) }]);
  });
  commands.add(COMMANDS.sweepRanks, 'recipe', async (argument) => {
    const uri = await chooseRecipe(argument);
    if (!uri) return;
    const file = await checked(uri);
    const ranks = await askRanks();
    if (!ranks) return;
    const { folder, runs } = await writeSweep(
      file,
      parseRecipe(await readFile(file, 'utf8'), file),
      ranks,
    );
    showOverlay({ kind: 'sweep', folder });
    await queue.add(runs);
  });
  const onQueued = (
    id: Parameters<CommandRegistry['add']>[0],
    act: (item: string) => Promise<void>,
  ) => {
    commands.add(id, 'run', async (argument) => {
      const item = argument instanceof QueuedNode ? argument.item.id : await pickQueued(queue);
      if (item !== undefined) await act(item);
    });
  };
  onQueued(COMMANDS.moveQueuedUp, (item) => queue.move(item, -1));
  onQueued(COMMANDS.moveQueuedDown, (item) => queue.move(item, 1));
  onQueued(COMMANDS.removeQueued, (item) => queue.remove(item));
}

async function askRanks(): Promise<readonly number[] | undefined> {
  const text = await vscode.window.showInputBox({
    title: t('Sweep Ranks'),
    value: FIRST_RANKS,
    prompt: t('The ranks to train, one after another.'),
    ignoreFocusOut: true,
    validateInput: (value) =>
      parseRanks(value)
        ? undefined
        : t('Write up to 16 whole numbers from 1 to 1024, such as 1, 2, 4.'),
  });
  return text === undefined ? undefined : parseRanks(text);
}

async function pickQueued(queue: RunQueue): Promise<string | undefined> {
  const items = queue.items.map(({ id, name, recipe }) => ({
    label: name ?? vscode.workspace.asRelativePath(recipe),
    id,
  }));
  return (
    await vscode.window.showQuickPick(items, {
      placeHolder: items.length === 0 ? t('No run waits for its turn.') : t('Which run?'),
    })
  )?.id;
}
