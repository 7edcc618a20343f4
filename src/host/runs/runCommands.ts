import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import type { EngineRequestName } from '../../shared/engineProtocol';
import { RUN_FILES } from '../../shared/run';
import type { CommandRegistry } from '../commands/commandRegistry';
import { connectEngine } from '../engine/engineClient';
import { COMMANDS } from '../manifest/ids';
import { t } from '../text/l10n';
import { openPlace, revealPlace } from '../editor/openPlace';
import { deleteRuns } from './deleteRun';
import { chooseRun, chooseRuns, pickRuns, type RunChoice } from './pickRun';
import { canResume, isActive, type RunSummary } from './run';
import type { RunStore } from './runStore';

export interface RunActions {
  readonly store: RunStore;
  /** Goes on from the last checkpoint, in a new engine. */
  readonly continueRun: (run: RunSummary) => Promise<void>;
  readonly openDashboard: (dir: string) => void;
  readonly showOverlay: (dirs: readonly string[]) => void;
  /** The run that is marked in the view. */
  readonly selected: () => RunSummary | undefined;
}

export function registerRunCommands(
  commands: CommandRegistry,
  { store, continueRun, openDashboard, showOverlay, selected }: RunActions,
): void {
  const onRun = (
    id: Parameters<CommandRegistry['add']>[0],
    choice: () => RunChoice,
    act: (run: RunSummary) => unknown,
  ) => {
    commands.add(id, 'run', async (argument) => {
      const run = await chooseRun(store, argument, choice());
      if (run) await act(run);
    });
  };
  commands.add(COMMANDS.openDashboard, 'run', async (argument) => {
    const run = await chooseRun(store, argument ?? selected()?.dir, any(t('Whose dashboard?')));
    if (run) openDashboard(run.dir);
  });
  commands.add(COMMANDS.overlayRuns, 'run', async (argument, selection) => {
    if (Array.isArray(argument) && argument.every((dir) => typeof dir === 'string')) {
      showOverlay(argument);
      return;
    }
    const marked = await markedRuns(store, argument, selection);
    if (marked.length > 0) showOverlay(marked.map(({ dir }) => dir));
  });
  onRun(COMMANDS.pauseRun, running, (run) => askEngine(store, run, 'pause'));
  onRun(COMMANDS.stopRun, active, (run) => askEngine(store, run, 'stop'));
  onRun(COMMANDS.resumeRun, resumable, (run) =>
    run.state === 'paused' ? askEngine(store, run, 'resume') : continueRun(run),
  );
  onRun(COMMANDS.revealAdapter, withAdapter, (run) => revealPlace(run.adapter!));
  onRun(COMMANDS.revealAdapterInOS, withAdapter, (run) => revealInOS(run.adapter!));
  onRun(COMMANDS.copyAdapterPath, withAdapter, (run) => copy(run.adapter!));
  onRun(COMMANDS.openAdapter, withAdapter, (run) =>
    openPlace({ file: path.join(run.adapter!, 'adapter_config.json') }),
  );
  onRun(COMMANDS.revealModel, withModel, (run) => revealPlace(run.model!));
  onRun(COMMANDS.openRecipe, withRecipe, (run) => openRecipe(run));
  onRun(
    COMMANDS.openRunLog,
    () => any(t('Whose log?')),
    (run) => openPlace({ file: path.join(run.dir, RUN_FILES.log) }),
  );
  commands.add(COMMANDS.deleteRun, 'run', async (argument, selection) => {
    const runs = await chooseRuns(store, argument, selection, any(t('Which run to delete?')));
    if (runs.length > 0) await deleteRuns(runs, store);
  });
  commands.add(COMMANDS.refreshRuns, 'run', () => store.refresh());
}

/** Those that are marked; fewer than two are picked, the one marked first. */
async function markedRuns(
  store: RunStore,
  argument: unknown,
  selection: readonly unknown[],
): Promise<readonly RunSummary[]> {
  const marked = selection.length > 1 ? await chooseRuns(store, argument, selection, any('')) : [];
  return marked.length > 1
    ? marked
    : pickRuns(store, argument, t('Which runs to lay over one another?'));
}

const any = (placeholder: string): RunChoice => ({
  placeholder,
  fits: () => true,
  none: t('There are no runs yet.'),
});
const running = (): RunChoice => ({
  placeholder: t('Which run to pause?'),
  fits: (run) => run.state === 'running',
  none: t('No run is training now.'),
});
const active = (): RunChoice => ({
  placeholder: t('Which run to stop? It keeps the adapter so far.'),
  fits: isActive,
  none: t('No run is training now.'),
});
const resumable = (): RunChoice => ({
  placeholder: t('Which run to resume?'),
  fits: canResume,
  none: t('No run is paused, stopped or interrupted.'),
});
const withAdapter = (): RunChoice => ({
  placeholder: t('Whose adapter?'),
  fits: (run) => run.adapter !== null,
  none: t('There is no adapter yet: it is written when a run ends or is stopped.'),
});
const withModel = (): RunChoice => ({
  placeholder: t('Whose model?'),
  fits: (run) => run.model !== null,
  none: t('There is no model here: one is made where training.method is full.'),
});
const withRecipe = (): RunChoice => ({
  placeholder: t('Whose recipe?'),
  fits: (run) => run.recipePath !== null,
  none: t('This run was started without a recipe file.'),
});

async function askEngine(
  store: RunStore,
  run: RunSummary,
  name: EngineRequestName & ('pause' | 'resume' | 'stop'),
): Promise<void> {
  const linked = store.engines.client(run.dir);
  const client = linked ?? (await connectEngine(run.dir));
  try {
    await client.request(name, undefined);
  } finally {
    if (!linked) client.dispose();
  }
  await store.refresh();
}

const revealInOS = (folder: string) =>
  vscode.commands.executeCommand('revealFileInOS', vscode.Uri.file(folder));

async function copy(text: string): Promise<void> {
  await vscode.env.clipboard.writeText(text);
  vscode.window.setStatusBarMessage(t('Adapter path copied'), 3_000);
}

async function openRecipe(run: RunSummary): Promise<void> {
  try {
    await openPlace({ file: run.recipePath! });
  } catch (cause) {
    throw new LoraError(
      'recipe',
      t('The recipe of this run is no longer where it was; run.json holds what it said.'),
      {
        place: { file: path.join(run.dir, RUN_FILES.record), line: 1 },
        cause,
      },
    );
  }
}
