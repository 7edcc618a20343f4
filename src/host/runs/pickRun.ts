import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import type { RunSummary } from './run';
import { treeRowOf } from './treeRow';
import type { RunStore } from './runStore';
import { PartNode, RunNode } from './runNodes';

export interface RunChoice {
  readonly placeholder: string;
  /** Which runs the command can do something with. */
  readonly fits: (run: RunSummary) => boolean;
  /** Said when none does. */
  readonly none: string;
}

/**
 * The run that a command is about: of the row it was called on, else of the folder given, else
 * picked by the user. Undefined: cancelled.
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
    if (!run)
      throw new LoraError('run', t('This run is no longer there.'), { place: { file: dir } });
    if (!choice.fits(run)) throw new LoraError('run', choice.none, { place: { file: dir } });
    return run;
  }
  return pick(store.runs.filter(choice.fits), choice);
}

function dirOf(argument: unknown): unknown {
  if (argument instanceof PartNode) return argument.parent.run.dir;
  return argument instanceof RunNode ? argument.run.dir : argument;
}

/** The runs of all rows that are marked, if the command was called on one of them; else the one. */
export async function chooseRuns(
  store: RunStore,
  argument: unknown,
  selection: readonly unknown[],
  choice: RunChoice,
): Promise<RunSummary[]> {
  const marked = selection
    .filter((node) => node instanceof RunNode)
    .map(({ run }) => run)
    .filter(choice.fits);
  if (marked.length > 1) return marked;
  const run = await chooseRun(store, argument, choice);
  return run ? [run] : [];
}

/**
 * Several runs, picked; the one that the command was called on is picked already. Empty: cancelled.
 */
export async function pickRuns(
  store: RunStore,
  argument: unknown,
  placeholder: string,
): Promise<readonly RunSummary[]> {
  await store.refresh();
  const dir = dirOf(argument);
  const items = itemsOf(store.runs).map((item) => ({ ...item, picked: item.run.dir === dir }));
  const picked = await vscode.window.showQuickPick(items, {
    placeHolder: placeholder,
    matchOnDescription: true,
    canPickMany: true,
  });
  return (picked ?? []).map(({ run }) => run);
}

const itemsOf = (runs: readonly RunSummary[]) =>
  runs.map((run) => {
    const { label, description, icon } = treeRowOf(run, Date.now());
    return { label: `$(${icon}) ${label}`, description, run };
  });

async function pick(
  runs: readonly RunSummary[],
  choice: RunChoice,
): Promise<RunSummary | undefined> {
  if (runs.length === 0) throw new LoraError('run', choice.none);
  const picked = await vscode.window.showQuickPick(itemsOf(runs), {
    placeHolder: choice.placeholder,
    matchOnDescription: true,
  });
  return picked?.run;
}
