import path from 'node:path';
import * as vscode from 'vscode';
import { createFile } from '../../common/atomicWrite';
import { pathExists } from '../../common/fileStatus';
import { findRecipes } from '../recipe/chooseRecipe';
import { readRecipe } from '../recipe/recipeDatasets';
import { t } from '../text/l10n';
import { browse, pickRow, pickRows, type PickRow } from '../ui/inputs';
import { notify } from '../ui/messages';
import { EXAMPLE_SUITE } from './exampleSuite';

const SUITES = '**/{evals.jsonl,*.evals.jsonl}';
const NAME = 'evals.jsonl';
const MOST_SUITES = 500;

/** Whether a command was invoked on a suite: evals.jsonl, or a name that ends in .evals.jsonl. */
export const isSuite = (argument: unknown): argument is vscode.Uri =>
  argument instanceof vscode.Uri && /(^|[\\/.])evals\.jsonl$/.test(argument.fsPath);

interface SuiteRow extends PickRow {
  readonly suite: { readonly file: string } | 'browse' | 'create';
}

const OTHERS = (): readonly SuiteRow[] => [
  { label: t('Browse…'), icon: 'file', suite: 'browse', alwaysShow: true },
  { label: t('Create an example evals.jsonl'), icon: 'new-file', suite: 'create' },
];

/**
 * The suites that the user picks among the workspace's. Undefined: cancelled, or an example was
 * made, which is to be changed first.
 */
export async function chooseSuites(): Promise<readonly string[] | undefined> {
  const found = await vscode.workspace.findFiles(SUITES, '**/{node_modules,.lora}/**', MOST_SUITES);
  const files = [...found.map(({ fsPath }) => fsPath), ...(await suitesOfRecipes())];
  const rows = [...new Set(files)]
    .map((file): SuiteRow => {
      const name = vscode.workspace.asRelativePath(file);
      return { label: name, icon: 'checklist', suite: { file } };
    })
    .sort((a, b) => a.label.localeCompare(b.label));
  if (rows.length === 0) {
    const placeHolder = t('There is no suite of questions yet (evals.jsonl)');
    return chosenSuites(await pickRow(OTHERS().toReversed(), { placeHolder }));
  }
  const options = { title: t('Evaluate'), placeHolder: t('Select the suites of questions') };
  const chosen = await pickRows([...rows, ...OTHERS()], (row) => row === rows[0], options);
  const own = chosen?.flatMap(({ suite }) => (typeof suite === 'string' ? [] : [suite.file]));
  const other = chosen?.find(({ suite }) => typeof suite === 'string');
  if (!other) return own?.length === 0 ? undefined : own;
  const more = await chosenSuites(other);
  return more && [...(own ?? []), ...more];
}

/** The suites that recipes name, which may have any name. */
async function suitesOfRecipes(): Promise<readonly string[]> {
  const recipes = await findRecipes();
  const read = await Promise.all(recipes.map(({ fsPath }) => readRecipe(fsPath)));
  return read.flatMap((recipe) => recipe?.evaluate.suites ?? []);
}

async function chosenSuites(row: SuiteRow | undefined): Promise<readonly string[] | undefined> {
  if (!row) return undefined;
  if (row.suite === 'create') {
    await createExample();
    return undefined;
  }
  if (row.suite !== 'browse') return [row.suite.file];
  const file = await browse('file', t('Suite of Questions'), { 'JSON Lines': ['jsonl'] });
  return file === undefined ? undefined : [file];
}

/** Writes a suite with a row of each usual check, and opens it. An existing one is only opened. */
async function createExample(): Promise<void> {
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  if (!folder) return;
  const file = path.join(folder.uri.fsPath, NAME);
  if (!(await pathExists(file))) await createFile(file, EXAMPLE_SUITE);
  await vscode.window.showTextDocument(vscode.Uri.file(file), { preview: false });
  void notify(
    'information',
    t('Replace the example’s rows with your own questions, then evaluate again.'),
  );
}
