import { stat } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import * as vscode from 'vscode';
import { Signal, type Disposable } from '../../common/signal';
import { removeWithin } from '../../common/withoutLinks';
import { readTail } from '../../common/regularFile';
import { readRemoteRecord } from '../../formats/run/remoteRecord';
import { PRIVATE_RUNS } from '../../common/privateFiles';
import { SETTINGS } from '../manifest/ids';
import type { RuntimeWait } from '../../shared/pages/dashboard/protocol';
import { newRunId, RUN_FILES, RUNS_FOLDER } from '../../shared/run';
import type { RunRoots } from '../runs/runRoots';
import type { RunStore } from '../runs/runStore';
import type { TargetStore } from '../targets/targetStore';
import type { RuntimeEnv, RuntimeService } from '../runtime/runtimeService';
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
  readonly targets: Pick<TargetStore, 'environment'>;
}

/** Where a run goes, and whether the user is waiting to see it. */
export interface StartOptions {
  /** Folder that will contain the run's folder; by default `.lora/runs` beside the recipe. */
  readonly root?: string | undefined;
  /** False for runs that start while nobody is waiting, such as those of the queue. */
  readonly show?: boolean;
}

/** A run that this window has started, here or on a target. */
export interface StartedRun {
  readonly dir: string;
  readonly show: boolean;
  readonly isRemote: boolean;
}

/** A run that someone has started on a target. */
export interface JobThere {
  readonly target: string;
  readonly job: string;
}

/** The setting lora.runs.private, for the engine. */
export const privacy = () => ({
  [PRIVATE_RUNS]: vscode.workspace.getConfiguration().get<boolean>(SETTINGS.privateRuns, true)
    ? '1'
    : '0',
});

/** The folder of the runs of a recipe. */
const besideOf = (recipe: string): string =>
  path.join(path.dirname(recipe), ...RUNS_FOLDER.split('/'));

/** Of the output of an engine that did not start. */
const LOGGED_BYTES = 2 ** 20;

/** Starts engines. Each is a separate process that outlives this window. */
export class Launcher implements vscode.Disposable {
  private readonly started = new Signal<StartedRun>();
  private readonly waits = new Signal<StartedRun>();
  private readonly abandoned = new Signal<string>();
  /** The folders of runs that wait for the runtime. */
  private readonly waiting = new Map<string, StartedRun>();
  private readonly answers: Disposable;

  /** Fires when an engine that this window started can be reached, or has ended. */
  readonly onDidStart = this.started.event;

  /** Fires when a run begins or ends to wait for the runtime, or for something else of it. */
  readonly onDidChangeWait = this.waits.event;

  /** Fires with the folder of a new run that is not started after all. */
  readonly onDidAbandon = this.abandoned.event;

  constructor(private readonly services: LauncherServices) {
    this.answers = services.runtime.question.onDidChange(() => {
      for (const run of this.waiting.values()) this.waits.fire(run);
    });
  }

  /** What the run in a folder waits for before it starts; null: nothing. */
  waitOf(dir: string): RuntimeWait | null {
    if (!this.waiting.has(dir)) return null;
    return this.services.runtime.question.isOpen ? 'answer' : 'installation';
  }

  /**
   * Starts a new run of a recipe that has been checked; returns its folder, or undefined when the
   * user declined to install a runtime.
   *
   * @throws LoraError when no runtime can be found or the engine cannot be started.
   */
  async startRecipe(
    recipe: string,
    { root = besideOf(recipe), show = true }: StartOptions = {},
  ): Promise<string | undefined> {
    const dir = path.join(root, newRunId());
    let started = false;
    try {
      const run = { dir, show, isRemote: false };
      started = await this.start(['train', recipe, '--run-dir', dir], run);
    } catch (error) {
      await this.removeFailedStart(dir);
      throw error;
    } finally {
      if (!started) this.abandoned.fire(dir);
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
    const args = ['train', '--resume', dir];
    const remote = this.services.store.find(dir)?.remote;
    if (!remote) return this.start(args, { dir, show, isRemote: false });
    await this.startRemote(args, { dir, show, isRemote: true }, remote.record.target.name);
    return true;
  }

  /**
   * Starts a new run of a recipe that has been checked on a target: a process here sends what it
   * needs and mirrors its folder. Returns the folder.
   *
   * @throws LoraError when the process cannot be started
   */
  async startOn(
    target: string,
    recipe: string,
    { root = besideOf(recipe), show = true }: StartOptions = {},
  ): Promise<string> {
    const dir = path.join(root, newRunId());
    const run = { dir, show, isRemote: true };
    await this.startNewRemote(['train', recipe, '--on', target, '--run-dir', dir], run, target);
    return dir;
  }

  /**
   * Mirrors a run on a target again, whose process here has ended.
   *
   * @throws LoraError as `startOn` does
   */
  async attach(dir: string, target: string, { show = true }: StartOptions = {}): Promise<void> {
    await this.startRemote(['attach', dir], { dir, show, isRemote: true }, target);
  }

  /**
   * Brings a run that someone has started on a target into a folder of runs, and follows it.
   * Returns its folder.
   *
   * @throws LoraError as `startOn` does
   */
  async follow({ target, job }: JobThere, root: string): Promise<string> {
    const dir = path.join(root, job);
    const run = { dir, show: true, isRemote: true };
    await this.startNewRemote(['attach', target, job, '--run-dir', dir], run, target);
    return dir;
  }

  dispose(): void {
    this.answers.dispose();
    for (const signal of [this.started, this.waits, this.abandoned]) signal.dispose();
  }

  /** The environment for the engine of a run, which may have to wait for it. */
  private async environment(run: StartedRun): Promise<RuntimeEnv | undefined> {
    try {
      return await this.services.runtime.ensure(() => {
        this.waiting.set(run.dir, run);
        this.waits.fire(run);
      });
    } finally {
      if (this.waiting.delete(run.dir)) this.waits.fire(run);
    }
  }

  private async start(args: readonly string[], run: StartedRun): Promise<boolean> {
    const env = await this.environment(run);
    if (!env) return false;
    await withStatus(t('Starting training…'), () => this.launch(args, run, env));
    return true;
  }

  /** Of a run whose folder is new; without a run, it is removed again. */
  private async startNewRemote(
    args: readonly string[],
    run: StartedRun,
    target: string,
  ): Promise<void> {
    try {
      await this.startRemote(args, run, target);
    } catch (error) {
      await this.removeFailedStart(run.dir);
      throw error;
    }
    await this.services.roots.remember(path.dirname(run.dir));
    await this.untilTargetIsKnown(run.dir);
  }

  /** The queue counts the runs of a target: the folder must say that this is one. */
  private async untilTargetIsKnown(dir: string): Promise<void> {
    for (let looks = 0; looks < 50 && !(await readRemoteRecord(dir)); looks++) await wait(100);
    await this.services.store.refresh();
  }

  /** No runtime is needed here. */
  private async startRemote(
    args: readonly string[],
    run: StartedRun,
    target: string,
  ): Promise<void> {
    const env = await this.services.targets.environment();
    await withStatus(t('Connecting to {0}…', target), () => this.launch(args, run, env));
  }

  private async launch(
    args: readonly string[],
    run: StartedRun,
    env: Readonly<Record<string, string | undefined>>,
  ): Promise<void> {
    const { cli, store, log } = this.services;
    log.info(`${cli} ${args.join(' ')}`);
    await startEngine({
      node: process.execPath,
      cli,
      args,
      runDir: run.dir,
      env: { ...env, ...privacy() },
    });
    this.started.fire(run);
    await store.refresh();
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
