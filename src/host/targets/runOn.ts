import type * as vscode from 'vscode';
import { startOrQueue } from '../queue/startOrQueue';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { askToSend } from './askToSend';
import { pickWhere } from './pickTarget';

type RunOnServices = Pick<
  Services,
  | 'targets'
  | 'targetJobs'
  | 'errors'
  | 'launcher'
  | 'store'
  | 'queue'
  | 'recipes'
  | 'inspections'
  | 'diagnostics'
>;

/**
 * Asks where to train a recipe, shows what is sent there, and starts it.
 *
 * @throws LoraError as `RecipeRunner.check`, `TargetJobs.plan` and `Launcher.startOn` do
 */
export async function runOn(services: RunOnServices, recipe: vscode.Uri): Promise<void> {
  const { diagnostics, inspections, launcher, recipes, targetJobs } = services;
  const where = await pickWhere(services, {
    title: t('Run Recipe On'),
    placeholder: t('Where should it train?'),
    withHere: true,
  });
  if (!where) return;
  if (where.kind === 'here') return startOrQueue(services, recipe);
  const file = await recipes.check(recipe);
  diagnostics.clear();
  const { name } = where.target.entry;
  const plan = await targetJobs.plan(name, file);
  if (!plan) return;
  const answer = await askToSend(inspections, { target: name, recipe: file, plan });
  if (answer === 'back') return runOn(services, recipe);
  if (answer) await launcher.startOn(name, file);
}
