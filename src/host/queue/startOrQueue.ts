import type * as vscode from 'vscode';
import { isActive } from '../runs/run';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { pickRow } from '../ui/inputs';
import { showDone } from '../ui/messages';

/**
 * Starts a run of a recipe; while another run is active, asks whether to start it now or to queue
 * it, which is what Enter does.
 *
 * @throws LoraError as `RecipeRunner.run` and `RecipeRunner.check` do.
 */
export async function startOrQueue(
  { queue, recipes, store }: Pick<Services, 'queue' | 'recipes' | 'store'>,
  recipe: vscode.Uri,
): Promise<void> {
  await store.refresh();
  const active = store.runs.find(isActive);
  const choice = active ? await ask(active.name) : 'now';
  if (choice === 'now') await recipes.run(recipe);
  if (choice !== 'queue') return;
  await queue.add([{ recipe: await recipes.check(recipe) }]);
  showDone(t('Added to the queue'));
}

async function ask(active: string): Promise<'now' | 'queue' | undefined> {
  const rows = [
    {
      icon: 'clock',
      label: t('Add to Queue'),
      description: t('starts when no other run is active'),
      choice: 'queue',
    },
    {
      icon: 'play',
      label: t('Run Now'),
      description: t('the runs share processor and memory'),
      choice: 'now',
    },
  ] as const;
  const picked = await pickRow(rows, {
    title: t('Another run is active'),
    placeHolder: t('{0} is still active. When should this run start?', active),
  });
  return picked?.choice;
}
