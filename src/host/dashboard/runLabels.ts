import type { LabelsMessage, RemoteLabels } from '../../shared/pages/dashboard/protocol';
import type { RunSummary } from '../runs/run';
import { runBefore } from '../runs/runBefore';
import { runLabel, targetText } from '../runs/treeRow';
import { linkSentence, stageText } from '../targets/remoteText';

/** The name of a run among others, and the adapter it can be compared with. */
export interface RunLabels {
  /** For its tab. */
  readonly title: string;
  readonly message: Pick<LabelsMessage, 'name' | 'previous' | 'remote'>;
  /** The adapter of the run before; null if there is none. */
  readonly previous: string | null;
}

/** Null for a run that is not known yet. `runs`: newest first. `now`: milliseconds since 1970. */
export function labelsOf(runs: readonly RunSummary[], dir: string, now: number): RunLabels | null {
  const run = runs.find((own) => own.dir === dir);
  if (!run) return null;
  const { name } = run.notes;
  const before = runBefore(runs, run, ({ adapter }) => adapter !== null);
  // other runs of the recipe have the same name
  const title =
    name === '' && run.name !== run.id ? `${runLabel(run)} · ${run.name}` : runLabel(run);
  return {
    title,
    previous: before?.adapter ?? null,
    message: {
      name: name === '' ? null : name,
      previous: before ? runLabel(before) : null,
      remote: remoteLabels(run, now),
    },
  };
}

function remoteLabels(run: RunSummary, now: number): RemoteLabels | null {
  if (!run.remote) return null;
  const { record, link } = run.remote;
  return {
    target: record.target.name,
    place: targetText(run)!,
    stage: stageText(record.stage),
    away: linkSentence(link, record.target.name, now),
    can_reconnect: link.kind === 'unattended',
  };
}
