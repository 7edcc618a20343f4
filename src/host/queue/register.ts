import * as vscode from 'vscode';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { parseRecipe } from '../../shared/recipeFile';
import { COMMANDS, type CommandSpec } from '../commands/commandTable';
import { chooseRecipe } from '../recipe/chooseRecipe';
import { QueuedNode } from '../runs/runNodes';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { askText, pickRow } from '../ui/inputs';
import { placeOf, type RunQueue } from './runQueue';
import { newSweep, parseRanks } from './sweepRuns';

const FIRST_RANKS = '1, 2, 4, 8, 16';

/** Commands that queue runs, sort them and remove them, and Sweep Ranks. */
export function registerQueue(services: Services): vscode.Disposable {
  const { commands, queue, recipes } = services;
  const onQueued = (command: CommandSpec, action: (id: string) => Promise<void>) =>
    commands.add(command, async (argument) => {
      const id = argument instanceof QueuedNode ? argument.item.id : await pickQueued(queue);
      if (id !== undefined) await action(id);
    });
  return vscode.Disposable.from(
    commands.add(COMMANDS.queueRecipe, async (argument) => {
      const recipe = await chooseRecipe(argument);
      if (recipe) await queue.add([{ recipe: await recipes.check(recipe) }]);
    }),
    commands.add(COMMANDS.sweepRanks, (argument) => sweepRanks(services, argument)),
    onQueued(COMMANDS.moveQueuedUp, (id) => queue.move(id, -1)),
    onQueued(COMMANDS.moveQueuedDown, (id) => queue.move(id, 1)),
    onQueued(COMMANDS.removeQueued, (id) => queue.remove(id)),
  );
}

async function sweepRanks(
  { overlays, queue, recipes }: Services,
  argument: unknown,
): Promise<void> {
  const uri = await chooseRecipe(argument);
  if (!uri) return;
  const file = await recipes.check(uri);
  const ranks = await askRanks();
  if (!ranks) return;
  const recipe = parseRecipe(
    await readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople }),
    file,
  );
  const { folder, runs } = await newSweep(file, recipe, [{ key: 'lora.r', values: ranks }]);
  overlays.show({ kind: 'sweep', folder });
  await queue.add(runs);
}

async function askRanks(): Promise<readonly number[] | undefined> {
  const text = await askText({
    title: t('Sweep Ranks'),
    value: FIRST_RANKS,
    prompt: t('The ranks to train, one after another.'),
    validate: (value) =>
      parseRanks(value)
        ? undefined
        : t('Enter up to 16 whole numbers from 1 to 1024, such as 1, 2, 4.'),
  });
  return text === undefined ? undefined : parseRanks(text);
}

async function pickQueued(queue: RunQueue): Promise<string | undefined> {
  const items = queue.items.map((item) => ({
    label: item.name ?? vscode.workspace.asRelativePath(placeOf(item)),
    id: item.id,
  }));
  return (
    await pickRow(items, {
      placeHolder: items.length === 0 ? t('The queue is empty') : t('Select a queued run'),
    })
  )?.id;
}
