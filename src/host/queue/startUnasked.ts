import type * as vscode from 'vscode';
import type { Services } from '../services';
import type { StartOutcome } from './runQueue';

/** When a run starts: at once, or when no other run is active. */
export type StartTime = 'queue' | 'now';

/**
 * Starts a run for another extension or an agent, which cannot be asked whether it should wait for
 * a run that is active.
 *
 * @throws LoraError as `RecipeRunner.run` and `RecipeRunner.check` do.
 */
export async function startUnasked(
  { queue, recipes }: Pick<Services, 'queue' | 'recipes'>,
  recipe: vscode.Uri,
  when: StartTime,
): Promise<StartOutcome> {
  const start = () => recipes.run(recipe);
  if (when === 'now') return (await start()) ? 'started' : 'declined';
  return queue.startOrAdd({ recipe: await recipes.check(recipe) }, start);
}
