import { stat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { Signal } from '../../common/signal';
import { removeWithin } from '../../common/withoutLinks';
import { readTail } from '../../common/regularFile';
import { PRIVATE_RUNS } from '../../common/privateFiles';
import { SETTINGS } from '../manifest/ids';
import { newRunId, RUN_FILES, RUNS_FOLDER } from '../../shared/run';
import type { RunRoots } from '../runs/runRoots';
import type { RunStore } from '../runs/runStore';
import type { RuntimeService } from '../runtime/runtimeService';
import type { ExtensionLog } from '../errors/extensionLog';
import { t } from '../text/l10n';
import { withStatus } from '../ui/progress';
import { startEngine } from './startEngine';

interface LauncherServices {
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  readonly runtime: RuntimeService;
  readonly store: RunStore;
  readonly roots: RunRoots;
  readonly log: ExtensionLog;
}

/** Where a run goes, and whether the user is waiting to see it. */
export interface StartOptions {
  /** Folder that will contain the run's folder; by default `.lora/runs` beside the recipe. */
  readonly root?: string | undefined;
  /** False for runs that start while nobody is waiting, such as those of the queue. */
  readonly show?: boolean;
}

/** A run that this window has started. */
export interface StartedRun {
  readonly dir: string;
  readonly show: boolean;
}

/** The setting lora.runs.private, for the engine. */
const privacy = () => ({
  [PRIVATE_RUNS]: vscode.workspace.getConfiguration().get<boolean>(SETTINGS.privateRuns, true)
    ? '1'
    : '0',
});

/** Of the output of an engine that did not start. */
const LOGGED_BYTES = 2 ** 20;

/** Starts engines. Each is a process of its own that outlives this window. */
export class Launcher implements vscode.Disposable {
  private readonly started = new Signal<StartedRun>();

  /** Fires when an engine that this window started can be reached, or has ended. */
  readonly onDidStart = this.started.event;

  constructor(private readonly services: LauncherServices) {}

  /**
   * Starts a new run of a recipe that has been checked; returns its folder, or undefined when the
   * user declined to install a runtime.
   *
   * @throws LoraError when no runtime can be found or the engine cannot be started.
   */
  async startRecipe(
    recipe: string,
    {
      root = path.join(path.dirname(recipe), ...RUNS_FOLDER.split('/')),
      show = true,
    }: StartOptions = {},
  ): Promise<string | undefined> {
    const dir = path.join(root, newRunId());
    let started: boolean;
    try {
      started = await this.start(['train', recipe, '--run-dir', dir], { dir, show });
    } catch (error) {
      await this.removeFailedStart(dir);
      throw error;
    }
    await this.services.roots.remember(root);
    return started ? dir : undefined;
  }

  /**
   * Continues an ended run from its last checkpoint, in a new engine. False: the user declined to
   * install a runtime.
   *
   * @throws LoraError as `startRecipe` does.
   */
  async resume(dir: string, { show = true }: StartOptions = {}): Promise<boolean> {
    return this.start(['train', '--resume', dir], { dir, show });
  }

  dispose(): void {
    this.started.dispose();
  }

  private async start(args: readonly string[], run: StartedRun): Promise<boolean> {
    const { cli, runtime, store, log } = this.services;
    const env = await runtime.ensure();
    if (!env) return false;
    log.info(`${cli} ${args.join(' ')}`);
    await withStatus(t('Starting training…'), async () => {
      await startEngine({
        node: process.execPath,
        cli,
        args,
        runDir: run.dir,
        env: { ...env, ...privacy() },
      });
      this.started.fire(run);
      await store.refresh();
    });
    return true;
  }

  /**
   * Without a run.json the engine never got as far as a run: its output goes to the extension's log
   * and its folder is removed.
   */
  private async removeFailedStart(dir: string): Promise<void> {
    if (await stat(path.join(dir, RUN_FILES.record)).catch(() => null)) return;
    const output = await readTail(path.join(dir, RUN_FILES.log), {
      maxBytes: LOGGED_BYTES,
      links: 'refused',
    }).catch(() => null);
    if (output && output.text !== '') this.services.log.error(output.text);
    await removeWithin(dir).catch((error: unknown) => {
      this.services.log.error(`${dir} is not removed: ${String(error)}`);
    });
  }
}
