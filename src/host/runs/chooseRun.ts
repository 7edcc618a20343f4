import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import { pickRow, pickRows } from '../ui/inputs';
import type { RunSummary } from './run';
import { treeRowOf } from './treeRow';
import type { RunStore } from './runStore';
import { GroupNode, PartNode, RunNode } from './runNodes';

/** Which runs a command applies to. */
export interface RunChoice {
  readonly placeholder: string;
  readonly fits: (run: RunSummary) => boolean;
  /** The error message when no run fits. */
  readonly none: string;
}

/** A choice among all runs. */
export const anyRun = (placeholder: string): RunChoice => ({
  placeholder,
  fits: () => true,
  none: t('There are no runs yet.'),
});

/**
 * The run that a command is about: that of the row or the folder it was invoked on, else one that
 * the user picks. Undefined: cancelled.
 *
 * @throws LoraError('run') when the run is gone or doesn't fit, or no run fits.
 */
export async function chooseRun(
  store: RunStore,
  argument: unknown,
  choice: RunChoice,
): Promise<RunSummary | undefined> {
  await store.refresh();
  const dir = dirOf(argument);
  if (typeof dir === 'string') {
    const run = store.find(dir);
    if (!run) throw new LoraError('run', t('This run no longer exists.'), { place: { file: dir } });
    if (!choice.fits(run)) throw new LoraError('run', choice.none, { place: { file: dir } });
    return run;
  }
  return pick(store.runs.filter(choice.fits), choice);
}

function dirOf(argument: unknown): unknown {
  if (argument instanceof PartNode) return argument.parent.run.dir;
  return argument instanceof RunNode ? argument.run.dir : argument;
}

/**
 * The runs of the selected rows that fit, when there are several; otherwise the one of `chooseRun`.
 * Empty: cancelled.
 *
 * @throws LoraError as `chooseRun` does.
 */
export async function chooseRuns(
  store: RunStore,
  argument: unknown,
  selection: readonly unknown[],
  choice: RunChoice,
): Promise<RunSummary[]> {
  const rows = selection.length > 0 ? selection : [argument];
  const selected = [...new Set(rows.flatMap(runsOfRow))].filter(choice.fits);
  if (selected.length > 1 || (selected.length > 0 && argument instanceof GroupNode))
    return selected;
  const run = await chooseRun(store, argument, choice);
  return run ? [run] : [];
}

function runsOfRow(row: unknown): readonly RunSummary[] {
  if (row instanceof GroupNode) return row.group.runs;
  return row instanceof RunNode ? [row.run] : [];
}

/**
 * Lets the user pick several runs; the one that the command was invoked on is checked at first.
 * Empty: cancelled.
 */
export async function pickRuns(
  store: RunStore,
  argument: unknown,
  placeholder: string,
): Promise<readonly RunSummary[]> {
  await store.refresh();
  const dir = dirOf(argument);
  const picked = await pickRows(itemsOf(store.runs), ({ run }) => run.dir === dir, {
    placeHolder: placeholder,
    matchOnDescription: true,
  });
  return (picked ?? []).map(({ run }) => run);
}

const itemsOf = (runs: readonly RunSummary[]) =>
  runs.map((run) => {
    const { label, description, icon } = treeRowOf(run, Date.now());
    return { icon, label, description, run };
  });

async function pick(
  runs: readonly RunSummary[],
  choice: RunChoice,
): Promise<RunSummary | undefined> {
  if (runs.length === 0) throw new LoraError('run', choice.none);
  const picked = await pickRow(itemsOf(runs), {
    placeHolder: choice.placeholder,
    matchOnDescription: true,
  });
  return picked?.run;
}
