import * as vscode from 'vscode';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { parseRecipe } from '../../shared/recipeFile';
import type { VariedKey } from '../../shared/sweep/vary';
import { COMMANDS, type CommandSpec } from '../commands/commandTable';
import { chooseRecipe } from '../recipe/chooseRecipe';
import { QueuedNode } from '../runs/runNodes';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { askText, pickRow } from '../ui/inputs';
import { placeOf, type RunQueue } from './runQueue';
import { askVaried } from './sweepCommand';
import { newSweep, parseRanks } from './sweepRuns';
import { askWhereToSweep } from './sweepPlace';

const FIRST_RANKS = '1, 2, 4, 8, 16';

/** Commands that queue runs, sort them and remove them, and sweeps. */
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
    commands.add(COMMANDS.sweepRanks, (argument) => sweep(services, argument, askRanks)),
    commands.add(COMMANDS.sweep, (argument) => sweep(services, argument, askVaried)),
    onQueued(COMMANDS.moveQueuedUp, (id) => queue.move(id, -1)),
    onQueued(COMMANDS.moveQueuedDown, (id) => queue.move(id, 1)),
    onQueued(COMMANDS.removeQueued, (id) => queue.remove(id)),
  );
}

/** Queues the runs of a sweep, and shows its page. `ask`: what varies; undefined: cancelled. */
async function sweep(services: Services, argument: unknown, ask: typeof askVaried): Promise<void> {
  const { overlays, queue, recipes } = services;
  const uri = await chooseRecipe(argument);
  if (!uri) return;
  const file = await recipes.check(uri);
  const recipe = parseRecipe(
    await readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople }),
    file,
  );
  const varied = await ask(file, recipe);
  if (!varied) return;
  const where = await askWhereToSweep(services);
  if (!where) return;
  const { folder, runs } = await newSweep(file, recipe, varied, where.on);
  overlays.show({ kind: 'sweep', folder });
  await queue.add(runs);
}

async function askRanks(): Promise<readonly VariedKey[] | undefined> {
  const text = await askText({
    title: t('Sweep Ranks'),
    value: FIRST_RANKS,
    prompt: t('The ranks to train, one after another.'),
    validate: (value) =>
      parseRanks(value)
        ? undefined
        : t('Enter up to 16 whole numbers from 1 to 1024, such as 1, 2, 4.'),
  });
  const ranks = text === undefined ? undefined : parseRanks(text);
  return ranks && [{ key: 'lora.r', values: ranks }];
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
