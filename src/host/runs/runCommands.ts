import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import type { EngineRequestName } from '../../shared/engineProtocol';
import { RUN_FILES } from '../../shared/run';
import { COMMANDS, type CommandSpec } from '../commands/commandTable';
import { openPlace, revealPlace } from '../editor/openPlace';
import { connectEngine } from '../engine/engineClient';
import { resumeOrQueue } from '../queue/startOrQueue';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { copyPath, showDone } from '../ui/messages';
import { addRunCommand } from './addRunCommand';
import { anyRun, chooseRun, chooseRuns, type RunChoice } from './chooseRun';
import { deleteRuns } from './deleteRun';
import { linkSentence } from '../targets/remoteText';
import { targetOfRun } from '../targets/targetOfRun';
import type { RecordedRecipes } from './recordedRecipes';
import { canResume, isActive, type RunSummary } from './run';
import { PartNode } from './runNodes';
import { runAgain } from './runAgain';
import type { RunStore } from './runStore';

/** Commands that control a run, or open or delete what it has written. */
export function registerRunCommands(
  services: Services,
  recordedRecipes: RecordedRecipes,
): vscode.Disposable {
  return vscode.Disposable.from(
    ...controlCommands(services),
    ...resultCommands(services),
    ...fileCommands(services, recordedRecipes),
  );
}

function controlCommands(services: Services): vscode.Disposable[] {
  const { store } = services;
  return [
    addRunCommand(services, COMMANDS.pauseRun, runningRun, (run) =>
      requestEngine(store, run, 'pause'),
    ),
    addRunCommand(services, COMMANDS.stopRun, activeRun, (run) =>
      requestEngine(store, run, 'stop'),
    ),
    addRunCommand(services, COMMANDS.resumeRun, resumableRun, (run) => resume(services, run)),
    addRunCommand(
      services,
      COMMANDS.runAgain,
      () => anyRun(t('Select a run to repeat')),
      (run) => runAgain(run, services),
    ),
  ];
}

/** Commands about the adapter or the model that a run has made. */
function resultCommands(services: Services): vscode.Disposable[] {
  /** A row below a run can be an adapter of its own: the best one, or a checkpoint. */
  const onAdapter = (command: CommandSpec, action: (adapter: string) => unknown) =>
    services.commands.add(command, async (argument) => {
      const part = argument instanceof PartNode ? argument.part.adapter : null;
      const run =
        part === null ? await chooseRun(services.store, argument, runWithAdapter()) : null;
      const adapter = part ?? run?.adapter;
      if (typeof adapter === 'string') await action(adapter);
    });
  return [
    onAdapter(COMMANDS.revealAdapter, revealPlace),
    onAdapter(COMMANDS.revealAdapterInOS, (adapter) =>
      vscode.commands.executeCommand('revealFileInOS', vscode.Uri.file(adapter)),
    ),
    onAdapter(COMMANDS.copyAdapterPath, copyAdapterPath),
    onAdapter(COMMANDS.openAdapter, (adapter) =>
      openPlace({ file: path.join(adapter, 'adapter_config.json') }),
    ),
    addRunCommand(services, COMMANDS.revealModel, runWithModel, ({ model }) => revealPlace(model!)),
  ];
}

function fileCommands(services: Services, recordedRecipes: RecordedRecipes): vscode.Disposable[] {
  const { commands, store } = services;
  return [
    addRunCommand(services, COMMANDS.openRecipe, runWithRecipe, openRecipe),
    addRunCommand(
      services,
      COMMANDS.openRecipeAsItWas,
      () => anyRun(t('Select a run to open its recipe')),
      (run) => recordedRecipes.open(run),
    ),
    addRunCommand(
      services,
      COMMANDS.openRunLog,
      () => anyRun(t('Select a run to open its log')),
      ({ dir }) => openPlace({ file: path.join(dir, RUN_FILES.log) }),
    ),
    addRunCommand(
      services,
      COMMANDS.revealRun,
      () => anyRun(t('Select a run')),
      ({ dir }) => revealPlace(dir),
    ),
    addRunCommand(
      services,
      COMMANDS.copyRunPath,
      () => anyRun(t('Select a run')),
      ({ dir }) => copyPath(dir),
    ),
    commands.add(COMMANDS.deleteRun, async (argument, selection) => {
      const choice = anyRun(t('Select a run to delete'));
      const runs = await chooseRuns(store, argument, selection, choice);
      if (runs.length > 0) await deleteRuns(runs, services);
    }),
  ];
}

const runningRun = (): RunChoice => ({
  placeholder: t('Select a run to pause'),
  fits: (run) => run.state === 'running',
  none: t('No run is training.'),
});
const activeRun = (): RunChoice => ({
  placeholder: t('Select a run to stop. Its adapter so far is kept.'),
  fits: isActive,
  none: t('No run is training.'),
});
const resumableRun = (): RunChoice => ({
  placeholder: t('Select a run to resume'),
  fits: canResume,
  none: t('No run is paused, stopped or interrupted.'),
});
const runWithAdapter = (): RunChoice => ({
  placeholder: t('Select a run with an adapter'),
  fits: (run) => run.adapter !== null,
  none: t('There is no adapter yet. It is saved when a run ends or is stopped.'),
});
const runWithModel = (): RunChoice => ({
  placeholder: t('Select a run with a model'),
  fits: (run) => run.model !== null,
  none: t('There is no model yet. Runs with training.method "full" save one.'),
});
const runWithRecipe = (): RunChoice => ({
  placeholder: t('Select a run to open its recipe'),
  fits: (run) => run.recipePath !== null,
  none: t('This run was started without a recipe file.'),
});

/** A paused engine continues; an ended run is started again, where it was. */
async function resume(services: Services, run: RunSummary): Promise<void> {
  if (run.state === 'paused') return requestEngine(services.store, run, 'resume');
  const isDeclined = run.remote && (await targetOfRun(services.targets, run)) === undefined;
  if (!isDeclined) await resumeOrQueue(services, run);
}

/** Sends a request over the connection that the store has to the engine, else over a new one. */
async function requestEngine(
  store: RunStore,
  run: RunSummary,
  name: EngineRequestName & ('pause' | 'resume' | 'stop'),
): Promise<void> {
  refuseAway(run);
  const linked = store.engines.client(run.dir);
  const client = linked ?? (await connectEngine(run.dir));
  try {
    await client.request(name, undefined);
  } finally {
    if (!linked) client.dispose();
  }
  await store.refresh();
}

function refuseAway({ remote }: RunSummary): void {
  const away = remote && linkSentence(remote.link, remote.record.target.name, Date.now());
  if (away)
    throw new LoraError('target', away, {
      fix: t('Wait for the connection, or use “Reconnect” on the run.'),
    });
}

async function copyAdapterPath(adapter: string): Promise<void> {
  await copyPath(adapter);
  showDone(t('Adapter path copied'));
}

async function openRecipe(run: RunSummary): Promise<void> {
  try {
    await openPlace({ file: run.recipePath! });
  } catch (cause) {
    throw new LoraError(
      'recipe',
      t(
        'The recipe file of this run was moved or deleted. run.json contains a copy of the recipe.',
      ),
      {
        place: { file: path.join(run.dir, RUN_FILES.record), line: 1 },
        cause,
      },
    );
  }
}
