import { readFile } from 'node:fs/promises';
import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { checkRecipe } from '../../shared/recipeFile';
import type { RunRecord } from '../../shared/run';
import type { CommandRegistry } from '../commands/commandRegistry';
import { COMMANDS } from '../manifest/ids';
import { t } from '../text/l10n';
import { openPlace, revealPlace } from '../editor/openPlace';
import { writeRecipe } from '../setup/writeRecipe';
import { GROUPINGS, type Grouping } from './arrangeRuns';
import { chooseRun } from './pickRun';
import type { RecipesAsTheyWere } from './recordedRecipes';
import { recipeDifference } from './recipeDifference';
import type { RunSummary } from './run';
import { PartNode } from './runNodes';
import { parseTags, writeNotes, type RunNotes } from './runNotes';
import type { RunsTree } from './runsTree';
import type { RunStore } from './runStore';

export interface HistoryParts {
  readonly store: RunStore;
  readonly tree: RunsTree;
  readonly recipes: RecipesAsTheyWere;
  readonly openDashboard: (dir: string) => void;
  readonly runRecipe: (recipe: vscode.Uri) => Promise<void>;
}

/**
 * What keeps the history in order: names, tags, notes, groups, a filter; and what brings an old run
 * back.
 */
export function registerHistoryCommands(commands: CommandRegistry, parts: HistoryParts): void {
  const { store, tree, recipes } = parts;
  commands.marked = () => tree.marked;
  const onRun = (
    id: Parameters<CommandRegistry['add']>[0],
    placeholder: () => string,
    act: (run: RunSummary) => unknown,
  ) => {
    commands.add(id, 'run', async (argument) => {
      const run = await chooseRun(store, argument, {
        placeholder: placeholder(),
        fits: () => true,
        none: t('There are no runs yet.'),
      });
      if (run) await act(run);
    });
  };
  onRun(
    COMMANDS.renameRun,
    () => t('Which run to rename?'),
    (run) =>
      askNotes(
        store,
        run,
        {
          title: t('Rename Run'),
          value: run.name,
          prompt: t('Empty: the name that it began with.'),
        },
        (name) => ({ name: name.trim() }),
      ),
  );
  onRun(
    COMMANDS.tagRun,
    () => t('Which run to tag?'),
    (run) =>
      askNotes(
        store,
        run,
        {
          title: t('Tag Run'),
          value: run.notes.tags.join(', '),
          prompt: t('Tags, with commas or blanks between them.'),
        },
        (text) => ({ tags: parseTags(text) }),
      ),
  );
  onRun(
    COMMANDS.noteRun,
    () => t('Which run to note something of?'),
    (run) =>
      askNotes(
        store,
        run,
        {
          title: t('Note'),
          value: run.notes.note,
          prompt: t('Shown when the mouse rests on the run.'),
        },
        (note) => ({ note: note.trim() }),
      ),
  );
  onRun(
    COMMANDS.openRecipeAsItWas,
    () => t('Whose recipe?'),
    (run) => recipes.open(run),
  );
  onRun(
    COMMANDS.runAgain,
    () => t('Which run to repeat?'),
    (run) => runAgain(run, parts),
  );
  onRun(
    COMMANDS.revealRun,
    () => t('Whose folder?'),
    (run) => revealPlace(run.dir),
  );
  onRun(
    COMMANDS.copyRunPath,
    () => t('Whose folder?'),
    (run) => vscode.env.clipboard.writeText(run.dir),
  );
  commands.add(COMMANDS.groupRuns, 'run', () => askGrouping(tree));
  commands.add(COMMANDS.filterRuns, 'run', () => askFilter(tree));
  commands.add(COMMANDS.clearRunsFilter, 'run', () => tree.show(''));
  commands.add(COMMANDS.openRunPart, 'run', async (argument) => {
    const node = argument instanceof PartNode ? argument : tree.selectedPart;
    if (node) await openPart(node, parts);
  });
}

async function askNotes(
  store: RunStore,
  run: RunSummary,
  box: vscode.InputBoxOptions,
  change: (text: string) => Partial<RunNotes>,
): Promise<void> {
  const text = await vscode.window.showInputBox({ ...box, ignoreFocusOut: true });
  if (text === undefined) return;
  await writeNotes(run.dir, { ...run.notes, ...change(text) });
  await store.refresh();
}

const groupingName = (by: Grouping): string =>
  ({
    none: t('Not grouped'),
    state: t('By state'),
    base: t('By base model'),
    dataset: t('By dataset'),
    recipe: t('By recipe'),
  })[by];

async function askGrouping(tree: RunsTree): Promise<void> {
  const items = GROUPINGS.map((by) => ({
    label: groupingName(by),
    description: by === tree.grouping ? t('now') : '',
    by,
  }));
  const picked = await vscode.window.showQuickPick(items, {
    placeHolder: t('How to group the runs?'),
  });
  if (picked) await tree.group(picked.by);
}

/** The view follows what is typed; Escape brings back what was shown. */
async function askFilter(tree: RunsTree): Promise<void> {
  const before = tree.filterText;
  const box = vscode.window.createInputBox();
  Object.assign(box, {
    title: t('Filter Runs'),
    value: before,
    placeholder: t('Words of a name, tag (#small), state, base, dataset or rank (r8)'),
  });
  await new Promise<void>((done) => {
    let accepted = false;
    box.onDidChangeValue((text) => tree.show(text));
    box.onDidAccept(() => {
      accepted = true;
      box.hide();
    });
    box.onDidHide(() => {
      if (!accepted) tree.show(before);
      done();
    });
    box.show();
  });
  box.dispose();
}

async function openPart(
  { part, parent }: PartNode,
  { recipes, openDashboard }: HistoryParts,
): Promise<void> {
  switch (part.kind) {
    case 'samples':
      openDashboard(parent.run.dir);
      return;
    case 'recipe':
      return recipes.open(parent.run);
    case 'log':
      return openPlace({ file: part.path });
    case 'adapter':
    case 'checkpoint':
      return openPlace({
        file: path.join(part.path, part.adapter === null ? 'state.json' : 'adapter_config.json'),
      });
    case 'model':
      return openPlace({ file: path.join(part.path, 'config.json') });
  }
}

/**
 * The recipe's file if it still says what it said then; else what it said goes into a new file,
 * which is run.
 */
async function runAgain(run: RunSummary, { store, runRecipe }: HistoryParts): Promise<void> {
  const record = store.record(run.dir);
  if (!record)
    throw new LoraError('run', t('{0} cannot be repeated: its recipe is not known.', run.name), {
      place: { file: run.dir },
    });
  if (record.recipe_path !== null && (await saysStill(record.recipe_path, record))) {
    await runRecipe(vscode.Uri.file(record.recipe_path));
    return;
  }
  const folder =
    record.recipe_path === null
      ? path.resolve(run.dir, '../../..')
      : path.dirname(record.recipe_path);
  const file = path.join(folder, `${run.id}.lora.json`);
  await writeRecipe(file, `${JSON.stringify(record.recipe, null, 2)}\n`);
  await vscode.window.showTextDocument(vscode.Uri.file(file), { preview: false });
  await runRecipe(vscode.Uri.file(file));
}

async function saysStill(file: string, { recipe }: RunRecord): Promise<boolean> {
  const text = await readFile(file, 'utf8').catch(() => null);
  const now = text === null ? null : checkRecipe(text, file).recipe;
  return now !== null && recipeDifference(recipe, now).length === 0;
}
