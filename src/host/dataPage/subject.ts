import path from 'node:path';
import * as vscode from 'vscode';
import { isRemotePath } from '../../common/remotePath';
import { isSamePath } from '../../common/samePath';
import { kindByName } from '../../formats/tables/tableKind';
import { isHubSource, pathsOf, sourcesOf } from '../../shared/datasetSources';
import type { Recipe } from '../../shared/recipe';
import { LoraError } from '../../shared/errors';
import type { AskInspections } from '../inspection/inspections';
import { isRecipeName } from '../manifest/ids';
import { readRecipe, recipesNaming } from '../recipe/recipeDatasets';
import { t } from '../text/l10n';
import { browse, pickRow, type PickRow } from '../ui/inputs';

/** What a Data page shows. */
export interface DataSubject {
  readonly file: string;
  /** The recipe whose settings rows are read with; null: the usual ones. */
  readonly recipe: string | null;
  /** The model whose tokens are counted, in place of the recipe's. */
  readonly base: string | null;
}

/** How rows are read, and whose tokens are counted. */
export interface DataSettings {
  readonly rows: Pick<Recipe, 'task' | 'chats' | 'unlabelled_rows'> &
    Partial<Pick<Recipe, 'objective' | 'columns'>>;
  readonly base: string | null;
  readonly maxLength: number;
  readonly labels: Recipe['labels'];
  readonly validation: string | null;
  readonly seed: number;
}

const USUAL: DataSettings = {
  rows: {
    task: 'causal_lm',
    chats: {
      same_role: 'merge',
      assistant_first: 'drop',
      user_last: 'drop',
      system_refused: 'fold',
    },
    unlabelled_rows: 'error',
  },
  base: null,
  maxLength: 1024,
  labels: 'assistant',
  validation: null,
  seed: 42,
};

/** The settings of a page. A base elsewhere, or of a workspace that is not trusted, is not read. */
export async function settingsOf({ file, recipe, base }: DataSubject): Promise<DataSettings> {
  const read = recipe === null ? null : await readRecipe(recipe);
  if (!read) return { ...USUAL, base };
  const { task, chats, unlabelled_rows, objective, training, labels, validation } = read;
  const source = sourcesOf(read.dataset, read.columns).find((own) => isSamePath(own.path, file));
  const isReadable = vscode.workspace.isTrusted && !isRemotePath(read.base);
  return {
    rows: { task, chats, unlabelled_rows, objective, columns: source?.columns ?? read.columns },
    base: base ?? (isReadable ? read.base : null),
    maxLength: training.max_length,
    labels,
    validation: validation === file ? null : validation,
    seed: training.seed,
  };
}

/**
 * What the command was invoked on: a dataset, or a recipe, which names one; else the file of the
 * active editor, else one that the user picks. Undefined: cancelled.
 *
 * @throws LoraError('recipe') for a recipe that cannot be read
 */
export async function chooseSubject(
  argument: unknown,
  inspections: AskInspections,
): Promise<DataSubject | undefined> {
  const given = argument instanceof vscode.Uri ? argument.fsPath : argument;
  const file = typeof given === 'string' ? given : (activeFile() ?? (await pickFile(inspections)));
  if (file === undefined) return undefined;
  if (!isRecipeName(file)) {
    const [recipe = null] = await recipesNaming(file);
    return { file, recipe, base: null };
  }
  const recipe = await readRecipe(file);
  if (!recipe)
    throw new LoraError('recipe', t('The recipe cannot be read, so its dataset is not known.'), {
      place: { file },
    });
  const dataset = await pickSource(pathsOf(recipe.dataset).filter((own) => !isHubSource(own)));
  return dataset === undefined ? undefined : { file: dataset, recipe: file, base: null };
}

/** One of the files that a recipe names; the only one without asking. */
async function pickSource(files: readonly string[]): Promise<string | undefined> {
  const [only] = files;
  if (files.length === 1) return only;
  const rows = files.map((file) => ({ label: path.basename(file), description: file, file }));
  return (await pickRow(rows, { placeHolder: t('Select a dataset') }))?.file;
}

function activeFile(): string | undefined {
  const input = vscode.window.tabGroups.activeTabGroup.activeTab?.input;
  const uri =
    input instanceof vscode.TabInputText || input instanceof vscode.TabInputCustom
      ? input.uri
      : undefined;
  if (uri?.scheme !== 'file') return undefined;
  const isDataset = kindByName(uri.fsPath) !== null && !uri.fsPath.endsWith('.json');
  return isDataset || isRecipeName(uri.fsPath) ? uri.fsPath : undefined;
}

interface FileRow extends PickRow {
  readonly file: string | null;
}

async function pickFile(inspections: AskInspections): Promise<string | undefined> {
  const found = await inspections.ask('datasets', {
    folders: (vscode.workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath),
  });
  const rows: FileRow[] = found
    .filter(({ task }) => task !== 'image_cls')
    .map(({ name, path: file }) => ({ label: name, icon: 'database', file }));
  const other = { label: t('Browse…'), icon: 'folder-opened', file: null, alwaysShow: true };
  const chosen = await pickRow([...rows, other], { placeHolder: t('Select a dataset') });
  if (!chosen) return undefined;
  return chosen.file ?? browse('file', t('Dataset'));
}

/** The files of a split, beside the dataset. */
export function splitFiles(file: string): { readonly train: string; readonly validation: string } {
  const { dir, base } = path.parse(file);
  const stem = base.replace(/(?:\.(?:jsonl|ndjson|json|csv|tsv|tab|parquet|gz|zst|zstd))+$/i, '');
  return {
    train: path.join(dir, `${stem}.train.jsonl`),
    validation: path.join(dir, `${stem}.validation.jsonl`),
  };
}
