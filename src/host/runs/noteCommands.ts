import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { askText } from '../ui/inputs';
import { addRunCommand } from './addRunCommand';
import { anyRun, chooseRuns } from './chooseRun';
import type { RunSummary } from './run';
import { parseTags, writeNotes, type RunNotes } from './runNotes';
import type { RunStore } from './runStore';

/** Rename Run, Tag Run and Note on Run. */
export function registerNoteCommands(services: Services): vscode.Disposable {
  const { store } = services;
  return vscode.Disposable.from(
    addRunCommand(
      services,
      COMMANDS.renameRun,
      () => anyRun(t('Select a run to rename')),
      (run) => rename(store, run),
    ),
    services.commands.add(COMMANDS.tagRun, async (argument, selection) => {
      const choice = anyRun(t('Select a run to tag'));
      const runs = await chooseRuns(store, argument, selection, choice);
      if (runs.length > 1) await tagAll(store, runs);
      else if (runs[0]) await tag(store, runs[0]);
    }),
    addRunCommand(
      services,
      COMMANDS.noteRun,
      () => anyRun(t('Select a run to edit its note')),
      (run) => note(store, run),
    ),
  );
}

async function rename(store: RunStore, run: RunSummary): Promise<void> {
  const name = await askText({
    title: t('Rename Run'),
    value: run.name,
    prompt: t('Leave empty to restore the original name.'),
  });
  if (name !== undefined) await changeNotes(store, run, { name: name.trim() });
}

async function tag(store: RunStore, run: RunSummary): Promise<void> {
  const text = await askText({
    title: t('Tag Run'),
    value: run.notes.tags.join(', '),
    prompt: t('Tags, separated by commas or spaces.'),
  });
  if (text !== undefined) await changeNotes(store, run, { tags: parseTags(text) });
}

/** Several runs keep the tags that they have. */
async function tagAll(store: RunStore, runs: readonly RunSummary[]): Promise<void> {
  const text = await askText({
    title: t('Tag {0} {0|run|runs}', runs.length),
    prompt: t('Tags to add, separated by commas or spaces.'),
  });
  const tags = text === undefined ? [] : parseTags(text);
  if (tags.length === 0) return;
  for (const { dir, notes } of runs)
    await writeNotes(dir, { ...notes, tags: [...new Set([...notes.tags, ...tags])] });
  await store.refresh();
}

async function note(store: RunStore, run: RunSummary): Promise<void> {
  const text = await askText({
    title: t('Edit Run Note'),
    value: run.notes.note,
    prompt: t('Shown when you hover over the run.'),
  });
  if (text !== undefined) await changeNotes(store, run, { note: text.trim() });
}

async function changeNotes(
  store: RunStore,
  run: RunSummary,
  change: Partial<RunNotes>,
): Promise<void> {
  await writeNotes(run.dir, { ...run.notes, ...change });
  await store.refresh();
}
