import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { RUNS_FOLDER } from '../../shared/run';
import type { Services } from '../services';
import { formatMoment } from '../text/format';
import { t } from '../text/l10n';
import { pickRow } from '../ui/inputs';
import { withStatus } from '../ui/progress';
import { pickWhere } from './pickTarget';

type FollowServices = Pick<
  Services,
  'targets' | 'targetJobs' | 'errors' | 'launcher' | 'store' | 'dashboards'
>;

/**
 * Brings a run that was started on a target, from here or elsewhere, into the runs of the
 * workspace, and follows it.
 *
 * @throws LoraError('target') when the target cannot be reached or has no run
 */
export async function followRemoteRun(services: FollowServices): Promise<void> {
  const { dashboards, launcher, store, targetJobs } = services;
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  if (!folder) return;
  const where = await pickWhere(services, {
    title: t('Follow Remote Run'),
    placeholder: t('Where was it started?'),
    withHere: false,
  });
  if (where?.kind !== 'target') return;
  const { name } = where.target.entry;
  const runs = await withStatus(t('Connecting to {0}…', name), () => targetJobs.runs(name));
  if (runs.length === 0) throw new LoraError('target', t('{0} has no runs.', name));
  const known = new Map(store.runs.map((run) => [run.id, run]));
  const rows = runs.map(({ job }) => ({
    label: known.get(job)?.name ?? job,
    description: [startOf(job), known.has(job) ? t('is here already') : '']
      .filter(Boolean)
      .join(' · '),
    job,
  }));
  const picked = await pickRow(rows, { placeHolder: t('Select a run on {0}', name) });
  if (!picked) return;
  const here = known.get(picked.job);
  if (here) dashboards.show(here.dir);
  else
    await launcher.follow(
      { target: name, job: picked.job },
      path.join(folder.uri.fsPath, ...RUNS_FOLDER.split('/')),
    );
}

/** When a run was started, by its id, such as 20260131-142501-7f3a in UTC. */
function startOf(job: string): string {
  const [, year, month, day, hour, minute] = /^(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)/.exec(job) ?? [];
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:00Z`);
  return Number.isNaN(time) ? '' : formatMoment(time, Date.now());
}
