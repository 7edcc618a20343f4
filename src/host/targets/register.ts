import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { chooseRecipe } from '../recipe/chooseRecipe';
import { addRunCommand } from '../runs/addRunCommand';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { withStatus } from '../ui/progress';
import { cleanTarget } from './cleanTarget';
import { editTargets } from './editTargets';
import { followRemoteRun } from './followRun';
import { pickWhere } from './pickTarget';
import { isUnattended, Reattachment } from './reattach';
import { runOn } from './runOn';
import { TargetDocuments } from './targetDocuments';
import { isUsable, targetOfRun } from './targetOfRun';

/** Commands about targets, and the runs on them that are connected again. */
export function registerTargets(services: Services): vscode.Disposable {
  const { commands, launcher, log, store, targets } = services;
  const documents = new TargetDocuments();
  const reattachment = new Reattachment({
    store,
    mayStart: () => vscode.workspace.isTrusted,
    mayUse: (run) => isUsable(targets, run),
    attach: (run) => launcher.attach(run.dir, run.remote!.record.target.name, { show: false }),
    log: (message) => log.warn(message),
  });
  return vscode.Disposable.from(
    documents,
    reattachment,
    vscode.workspace.onDidGrantWorkspaceTrust(() => reattachment.update()),
    commands.add(COMMANDS.runRecipeOn, async (argument) => {
      const recipe = await chooseRecipe(argument);
      if (recipe) await runOn(services, recipe);
    }),
    commands.add(COMMANDS.followRemoteRun, () => followRemoteRun(services)),
    commands.add(COMMANDS.checkTarget, () => checkTarget(services, documents)),
    commands.add(COMMANDS.cleanTarget, () => cleanTarget(services)),
    commands.add(COMMANDS.editTargets, () => editTargets(targets.userFile)),
    addRunCommand(
      services,
      COMMANDS.reconnectRun,
      () => ({
        placeholder: t('Select a run to connect to'),
        fits: isUnattended,
        none: t('Every run on a target is connected, or has ended.'),
      }),
      async (run) => {
        const target = await targetOfRun(targets, run);
        if (target !== undefined) await launcher.attach(run.dir, target);
      },
    ),
  );
}

async function checkTarget(services: Services, documents: TargetDocuments): Promise<void> {
  const where = await pickWhere(services, {
    title: t('Check Target'),
    placeholder: t('Select a target to see its resources'),
    withHere: false,
  });
  if (where?.kind !== 'target') return;
  const { entry } = where.target;
  const report = await withStatus(t('Connecting to {0}…', entry.name), () =>
    services.targetJobs.check(entry.name),
  );
  await documents.show(entry, report);
}
