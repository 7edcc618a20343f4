import { readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { newRunId, RUN_FILES, RUNS_FOLDER } from '../../shared/run';
import { t } from '../text/l10n';
import type { RunSummary } from '../runs/run';
import type { RunRoots } from '../runs/runRoots';
import type { RunStore } from '../runs/runStore';
import type { RuntimeService } from '../runtime/runtimeService';
import { startEngine } from './startEngine';

export interface LauncherParts {
  /** dist/cli.js */
  readonly cli: string;
  readonly runtime: RuntimeService;
  readonly store: RunStore;
  readonly roots: RunRoots;
  readonly log: vscode.LogOutputChannel;
  /** A run was started by this window. `show`: somebody waits to see it. */
  readonly onStarted: (dir: string, show: boolean) => Promise<void> | void;
}

export interface StartOptions {
  /** Folder that will hold the run; else beside the recipe. */
  readonly root?: string | undefined;
  readonly show?: boolean;
}

/** Starts engines. Each is a process of its own; this window only follows it. */
export class Launcher {
  constructor(private readonly parts: LauncherParts) {}

  /**
   * A new run of a recipe that was checked; gives its folder. Undefined: the user would not install
   * a runtime. Errors: LoraError.
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
      started = await this.start(dir, ['train', recipe, '--run-dir', dir], show);
    } catch (error) {
      await this.removeUnborn(dir);
      throw error;
    }
    await this.parts.roots.remember(root);
    return started ? dir : undefined;
  }

  /** Goes on from the last checkpoint of a run that has ended. Errors: LoraError. */
  async resume(run: RunSummary): Promise<void> {
    await this.start(run.dir, ['train', '--resume', run.dir], true);
  }

  private async start(runDir: string, args: readonly string[], show: boolean): Promise<boolean> {
    const { cli, runtime, store, log, onStarted } = this.parts;
    const env = await runtime.ensure();
    if (!env) return false;
    log.info(`${cli} ${args.join(' ')}`);
    await vscode.window.withProgress(
      { location: vscode.ProgressLocation.Window, title: t('Starting the training…') },
      async () => {
        await startEngine({ node: process.execPath, cli, args, runDir, env });
        await onStarted(runDir, show);
        await store.refresh();
      },
    );
    return true;
  }

  /**
   * Without run.json the engine never came to life: its log goes to ours, and no empty run stays
   * behind.
   */
  private async removeUnborn(dir: string): Promise<void> {
    if (await stat(path.join(dir, RUN_FILES.record)).catch(() => null)) return;
    const output = await readFile(path.join(dir, RUN_FILES.log), 'utf8').catch(() => '');
    if (output) this.parts.log.error(output);
    await rm(dir, { recursive: true, force: true });
  }
}
