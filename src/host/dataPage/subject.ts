import path from 'node:path';
import * as vscode from 'vscode';
import { isRemotePath } from '../../common/remotePath';
import { isSamePath } from '../../common/samePath';
import { isHubSource, sourceName, sourcesOf } from '../../shared/datasetSources';
import type { Recipe } from '../../shared/recipe';
import { asHubDataset, type HubDataset } from '../hub/hubSplit';
import { readRecipe } from '../recipe/recipeDatasets';

/** What a Data page shows. */
export interface DataSubject {
  readonly file: string;
  /** The folder or dataset on the Hub that it is of, as JSON of a `HubDataset`; null: none. */
  readonly source: string | null;
  /** The recipe whose settings rows are read with; null: the usual ones. */
  readonly recipe: string | null;
  /** The model whose tokens are counted, in place of the recipe's. */
  readonly base: string | null;
}

/** The folder or dataset on the Hub that a file is of; undefined: none. */
const sourceOf = ({ source }: Pick<DataSubject, 'source'>): HubDataset | undefined =>
  source === null ? undefined : asHubDataset(parseJson(source));

/** The dataset as Train Adapter takes it. */
export function datasetOf(subject: DataSubject): vscode.Uri | HubDataset {
  const { file } = subject;
  const source = sourceOf(subject);
  return source && isHubSource(source.path)
    ? { ...source, files: [file, ...source.files.filter((own) => own !== file)] }
    : vscode.Uri.file(source?.path ?? file);
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
export async function settingsOf(subject: DataSubject): Promise<DataSettings> {
  const { file, recipe, base } = subject;
  const read = recipe === null ? null : await readRecipe(recipe);
  if (!read) return { ...USUAL, base };
  const { task, chats, unlabelled_rows, objective, training, labels, validation } = read;
  const named = sourceOf(subject)?.path ?? file;
  const source = sourcesOf(read.dataset, read.columns).find((own) => isSamePath(own.path, named));
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

/** The name of the dataset on the page. */
export function nameOf(subject: DataSubject): string {
  const source = sourceOf(subject);
  return source && isHubSource(source.path) ? sourceName(source) : path.basename(subject.file);
}

/** The files of a split: beside the dataset, or of one of the Hub in the workspace. */
export function splitFiles(subject: DataSubject): {
  readonly train: string;
  readonly validation: string;
} {
  const source = sourceOf(subject);
  const [folder] = vscode.workspace.workspaceFolders ?? [];
  const isInCache = source && isHubSource(source.path) && folder;
  const { dir, base } = path.parse(
    isInCache ? path.join(folder.uri.fsPath, path.basename(source.path)) : subject.file,
  );
  const stem = base.replace(/(?:\.(?:jsonl|ndjson|json|csv|tsv|tab|parquet|gz|zst|zstd))+$/i, '');
  return {
    train: path.join(dir, `${stem}.train.jsonl`),
    validation: path.join(dir, `${stem}.validation.jsonl`),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
