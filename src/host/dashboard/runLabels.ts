import type { LabelsMessage } from '../../shared/pages/dashboard/protocol';
import type { RunSummary } from '../runs/run';
import { runBefore } from '../runs/runBefore';
import { runLabel } from '../runs/treeRow';

/** What a run is called beside others, and which adapter it can be compared with. */
export interface RunLabels {
  /** For its tab. */
  readonly title: string;
  readonly message: Pick<LabelsMessage, 'name' | 'previous'>;
  /** The adapter of the run before; null if there is none. */
  readonly previous: string | null;
}

/** Null for a run that is not known yet. `runs`: newest first. */
export function labelsOf(runs: readonly RunSummary[], dir: string): RunLabels | null {
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
    },
  };
}
