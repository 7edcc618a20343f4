import * as vscode from 'vscode';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { LoraError, type Problem, type SerializedError } from '../../shared/errors';
import { RUN_FILES, type RunRecord } from '../../shared/run';
import type { ErrorReporter } from '../errors/reporter';
import { formatLoss } from '../text/format';
import { COMMANDS } from '../manifest/ids';
import { t } from '../text/l10n';
import { isActive, type RunSummary } from './run';
import type { RunStore } from './runStore';

/** Tells how the runs that this window started, or saw training, ended. */
export class Outcomes implements vscode.Disposable {
  private readonly expected = new Set<string>();
  private readonly quiet = new Set<string>();
  private readonly following: { dispose(): unknown };

  /** `mark` shows faults at their places in files. */
  constructor(
    private readonly store: RunStore,
    private readonly errors: ErrorReporter,
    private readonly mark: (problems: readonly Problem[]) => void,
  ) {
    this.following = store.onDidChange(() => this.look());
  }

  /**
   * `quietly`: only trouble is told, as of runs that end one after another while nobody waits for
   * each.
   */
  expect(dir: string, quietly = false): void {
    this.expected.add(dir);
    if (quietly) this.quiet.add(dir);
  }

  private look(): void {
    for (const run of this.store.runs.filter(isActive)) this.expected.add(run.dir);
    for (const dir of this.expected) {
      const run = this.store.find(dir);
      if (!run || isActive(run)) continue;
      this.expected.delete(dir);
      void this.tell(run);
    }
  }

  private async tell(run: RunSummary): Promise<void> {
    if (run.state === 'failed') {
      const error = await errorOf(run);
      this.mark(error.faults());
      this.errors.report(error, 'engine', [openDashboard(run), openRecipe(run)]);
    }
    if (run.state === 'interrupted') {
      const error = new LoraError(
        'engine',
        t('{0}: the training process ended without a word at step {1}.', run.name, run.step),
        {
          fix: t(
            'Resume Run goes on from its last checkpoint, or begins anew where there is none.',
          ),
        },
      );
      this.errors.report(error, 'engine', [
        {
          title: t('Resume Run'),
          fix: { kind: 'command', command: COMMANDS.resumeRun, argument: run.dir },
        },
      ]);
    }
    if (run.state === 'completed' && !this.quiet.has(run.dir)) await tellCompleted(run);
  }

  dispose(): void {
    this.following.dispose();
  }
}

const openDashboard = (run: RunSummary) =>
  ({
    title: t('Open Dashboard'),
    fix: { kind: 'command', command: COMMANDS.openDashboard, argument: run.dir },
  }) as const;
const openRecipe = (run: RunSummary) =>
  ({
    title: t('Open Recipe'),
    fix: { kind: 'command', command: COMMANDS.openRecipe, argument: run.dir },
  }) as const;

async function errorOf(run: RunSummary): Promise<LoraError> {
  try {
    const record = JSON.parse(
      await readFile(path.join(run.dir, RUN_FILES.record), 'utf8'),
    ) as RunRecord;
    return LoraError.deserialize(record.error as SerializedError);
  } catch {
    return new LoraError('engine', run.problem ?? t('{0} failed.', run.name));
  }
}

async function tellCompleted(run: RunSummary): Promise<void> {
  const dashboard = { title: t('Open Dashboard'), command: COMMANDS.openDashboard };
  const actions =
    run.model === null
      ? [
          dashboard,
          { title: t('Reveal Adapter'), command: COMMANDS.revealAdapter },
          { title: t('Copy Adapter Path'), command: COMMANDS.copyAdapterPath },
        ]
      : [
          dashboard,
          { title: t('Reveal Model'), command: COMMANDS.revealModel },
          { title: t('Try Model'), command: COMMANDS.tryModel },
        ];
  const loss = run.lastLoss === null ? '' : t(', loss {0}', formatLoss(run.lastLoss));
  const chosen = await vscode.window.showInformationMessage(
    t('{0} is trained: {1} steps{2}.', run.name, run.step, loss),
    ...actions,
  );
  if (chosen) await vscode.commands.executeCommand(chosen.command, run.dir);
}
