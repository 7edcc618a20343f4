import * as vscode from 'vscode';
import path from 'node:path';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import { LoraError, type SerializedError } from '../../shared/errors';
import { RUN_FILES, type RemoteRecord, type RunRecord } from '../../shared/run';
import { formatLoss } from '../text/format';
import { COMMANDS } from '../commands/commandTable';
import { t } from '../text/l10n';
import { notify } from '../ui/messages';
import type { FixButton } from '../errors/fixes';
import type { Services } from '../services';
import { isActive, type RunSummary } from './run';

type OutcomeServices = Pick<Services, 'store' | 'errors' | 'diagnostics' | 'launcher'>;

/** Notifies the user of how runs ended that this window started or saw training. */
export class Outcomes implements vscode.Disposable {
  private readonly watched = new Set<string>();
  /** Background runs: only problems are reported. */
  private readonly quiet = new Set<string>();
  private readonly listeners: readonly { dispose(): unknown }[];

  constructor(private readonly services: OutcomeServices) {
    const { launcher, store } = services;
    this.listeners = [
      launcher.onDidStart(({ dir, show }) => {
        this.watched.add(dir);
        if (!show) this.quiet.add(dir);
      }),
      store.onDidChange(() => this.update()),
    ];
  }

  private update(): void {
    const { store, errors } = this.services;
    for (const run of store.runs.filter(isActive)) this.watched.add(run.dir);
    for (const dir of this.watched) {
      const run = store.find(dir);
      if (!run || isActive(run)) continue;
      this.watched.delete(dir);
      this.notify(run).catch((error: unknown) => errors.report(error, 'run'));
    }
  }

  private async notify(run: RunSummary): Promise<void> {
    const { errors, diagnostics } = this.services;
    if (run.state === 'failed') {
      const error = await readError(run);
      diagnostics.show(error.locatedProblems());
      errors.report(error, 'engine', [openDashboard(run), openRecipe(run)]);
    }
    if (run.state === 'interrupted') errors.report(interruption(run), 'engine', [resume(run)]);
    if (run.state === 'completed' && !this.quiet.has(run.dir)) await notifyCompleted(run);
  }

  dispose(): void {
    for (const listener of this.listeners) listener.dispose();
  }
}

const interruption = (run: RunSummary): LoraError =>
  new LoraError(
    run.remote ? 'target' : 'engine',
    run.remote
      ? lostJob(run.remote.record, run)
      : t('{0}: the training process ended unexpectedly at step {1}.', run.name, run.step),
    {
      fix: t('“Resume Run” continues from the last checkpoint, or starts over if there is none.'),
    },
  );

const lostJob = ({ target, stage }: RemoteRecord, { name, step }: RunSummary): string =>
  [
    t('{0}: the job on {1} ended at step {2} without a result.', name, target.name, step),
    stage?.kind === 'lost' ? stage.reason : null,
  ]
    .filter(Boolean)
    .join(' ');

const resume = ({ dir }: RunSummary): FixButton => ({
  title: t('Resume Run'),
  fix: { kind: 'command', command: COMMANDS.resumeRun.id, argument: dir },
});

const openDashboard = ({ dir }: RunSummary): FixButton => ({
  title: t('Open Dashboard'),
  fix: { kind: 'command', command: COMMANDS.openDashboard.id, argument: dir },
});

const openRecipe = ({ dir }: RunSummary): FixButton => ({
  title: t('Open Recipe'),
  fix: { kind: 'command', command: COMMANDS.openRecipe.id, argument: dir },
});

async function readError(run: RunSummary): Promise<LoraError> {
  try {
    const record = JSON.parse(
      await readTextFile(path.join(run.dir, RUN_FILES.record), {
        maxBytes: MAX_BYTES.runRecord,
        links: 'refused',
      }),
    ) as RunRecord;
    return LoraError.deserialize(record.error as SerializedError);
  } catch {
    return new LoraError('engine', run.problem ?? t('{0} failed.', run.name));
  }
}

interface ToastAction {
  readonly title: string;
  readonly command: string;
  readonly argument: string;
}

async function notifyCompleted(run: RunSummary): Promise<void> {
  const { adapter, dir } = run;
  const first: readonly ToastAction[] =
    adapter === null
      ? [{ title: t('Try Model'), command: COMMANDS.tryModel.id, argument: dir }]
      : [{ title: t('Try Adapter'), command: COMMANDS.tryAdapter.id, argument: adapter }];
  const dashboard = { title: t('Open Dashboard'), command: COMMANDS.openDashboard.id };
  const actions = [...first, { ...dashboard, argument: dir }];
  const loss = run.lastLoss === null ? '' : t(', loss {0}', formatLoss(run.lastLoss));
  const chosen = await notify(
    'information',
    t('{0} finished training: {1} {1|step|steps}{2}.', run.name, run.step, loss),
    actions,
  );
  if (chosen) await vscode.commands.executeCommand(chosen.command, chosen.argument);
}
