import { t } from '../text/l10n';
import { chooseRun } from '../runs/pickRun';
import { PartNode } from '../runs/runNodes';
import type { RunStore } from '../runs/runStore';
import type { PlaygroundPanels } from './playgroundPanels';

/**
 * Opens the playground of a model that a run has made by training every weight. Errors: LoraError.
 */
export async function tryModel(
  panels: PlaygroundPanels,
  store: RunStore,
  argument: unknown,
): Promise<void> {
  if (argument instanceof PartNode && argument.part.kind === 'model') {
    panels.show(argument.part.path, []);
    return;
  }
  const run = await chooseRun(store, argument, {
    placeholder: t('Which model to try?'),
    fits: ({ model }) => model !== null,
    none: t('There is no model here: one is made where training.method is full.'),
  });
  if (run) panels.show(run.model!, []);
}
