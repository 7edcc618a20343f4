import type * as vscode from 'vscode';
import { isActiveHere, type RunSummary } from '../runs/run';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { pickRow } from '../ui/inputs';
import { showDone } from '../ui/messages';
import type { QueueItem } from './runQueue';

/**
 * Starts a run of a recipe; while another run is active, asks whether to start it now or to queue
 * it, which is what Enter does.
 *
 * @throws LoraError as `RecipeRunner.run` and `RecipeRunner.check` do.
 */
export const startOrQueue = (
  services: Pick<Services, 'queue' | 'recipes' | 'store'>,
  recipe: vscode.Uri,
): Promise<void> =>
  nowOrQueued(services, {
    now: () => services.recipes.run(recipe),
    item: async () => ({ recipe: await services.recipes.check(recipe) }),
  });

/**
 * Continues an ended run; while another one is active, asks as `startOrQueue` does.
 *
 * @throws LoraError as `Launcher.resume` does.
 */
export const resumeOrQueue = (
  services: Pick<Services, 'queue' | 'launcher' | 'store'>,
  { dir, name, remote }: RunSummary,
): Promise<unknown> =>
  // a target's processor and memory are not shared with the runs here
  remote
    ? services.launcher.resume(dir)
    : nowOrQueued(services, {
        now: () => services.launcher.resume(dir),
        item: () => Promise.resolve({ resume: dir, name }),
      });

interface Start {
  readonly now: () => Promise<unknown>;
  readonly item: () => Promise<QueueItem>;
}

async function nowOrQueued(
  { queue, store }: Pick<Services, 'queue' | 'store'>,
  { now, item }: Start,
): Promise<void> {
  await store.refresh();
  const active = store.runs.find(isActiveHere);
  const choice = active ? await ask(active.name) : 'now';
  if (choice === 'now') await now();
  if (choice !== 'queue') return;
  await queue.add([await item()]);
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
