import { stat } from 'node:fs/promises';
import path from 'node:path';
import { listFolder } from '../../common/regularFile';
import { tableFault, unreadable } from '../../formats/tables/faults';
import { kindByName, TABLE_ENDINGS } from '../../formats/tables/tableKind';
import {
  isHubSource,
  sourcesOf,
  type ColumnNames,
  type DatasetSetting,
  type DatasetSource,
} from '../../shared/datasetSources';
import type { Task } from '../../shared/task';

/** The files of a source, in order, and what they are used for. */
export interface SourceFiles {
  readonly source: DatasetSource;
  readonly set: 'train' | 'validation';
  readonly files: readonly string[];
  /** The commit of a dataset on the Hub; null: it is not one. */
  readonly revision: string | null;
}

/** The local files of a dataset on the Hub, and the commit that they are from. */
export type HubFiles = (
  source: DatasetSource,
) => Promise<{ readonly files: readonly string[]; readonly revision: string }>;

/** The part of a recipe that names rows. */
export interface NamedSources {
  readonly task: Task;
  readonly dataset: DatasetSetting;
  readonly validation: string | null;
  /** Missing in recipes of older versions. */
  readonly columns?: ColumnNames | undefined;
}

const MOST_FILES = 10_000;

/**
 * Lists the files that a recipe names: those of the training set, then those for validation.
 *
 * @param hub Finds the files of datasets on the Hub. Without it, they are refused.
 * @throws LoraError('dataset') for a folder without rows
 */
export async function listSources(
  { task, dataset, validation, columns }: NamedSources,
  hub?: HubFiles,
): Promise<SourceFiles[]> {
  const train = sourcesOf(dataset, columns).map((source) => ({ source, set: 'train' as const }));
  const own = validation === null ? [] : sourcesOf(validation, columns);
  const all = [...train, ...own.map((source) => ({ source, set: 'validation' as const }))];
  const listed: SourceFiles[] = [];
  for (const { source, set } of all)
    listed.push({ source, set, ...(await filesOf(source, task, hub)) });
  return listed;
}

async function filesOf(
  source: DatasetSource,
  task: Task,
  hub: HubFiles | undefined,
): Promise<Pick<SourceFiles, 'files' | 'revision'>> {
  const { path: file } = source;
  if (isHubSource(file)) {
    if (hub) return hub(source);
    throw tableFault(file, 'A dataset on the Hub cannot be read here.', 'Name a file or a folder.');
  }
  const info = await stat(file).catch(() => null);
  const isFolder = info?.isDirectory() === true && !(await isImageFolder(file, task));
  return { files: isFolder ? await filesIn(file) : [file], revision: null };
}

/** Whether a folder holds images by their classes; for contrastive, unless it has files of rows. */
async function isImageFolder(folder: string, task: Task): Promise<boolean> {
  if (task !== 'contrastive') return task === 'image_cls';
  const entries = await listFolder(folder).catch(() => []);
  return entries.every(({ name }) => name.startsWith('.') || kindByName(name) === null);
}

const HELD_OUT = /^(?:validation|valid|val|dev|eval|test)(?![a-z])/i;

/**
 * The files with rows in a folder, by name. Folders in it and hidden files are left out.
 *
 * @throws LoraError('dataset') without any, or with files that are held out beside others
 */
export async function filesIn(folder: string): Promise<readonly string[]> {
  const entries = await listFolder(folder).catch((error: unknown) => {
    throw unreadable(folder, error);
  });
  const names = entries
    .map(({ name }) => name)
    .filter((name) => !name.startsWith('.') && kindByName(name) !== null);
  if (names.length === 0)
    throw tableFault(
      folder,
      `The folder has no file with rows (${TABLE_ENDINGS.join(', ')}).`,
      'Name a file, or the folder of the files.',
    );
  if (names.length > MOST_FILES)
    throw tableFault(folder, `The folder has more than ${MOST_FILES} files.`);
  const heldOut = names.find((name) => HELD_OUT.test(name));
  const trained = names.find((name) => !HELD_OUT.test(name));
  if (heldOut !== undefined && trained !== undefined)
    throw tableFault(
      folder,
      `The folder has files to train on and others that are held out (${trained}, ${heldOut}).`,
      'Name the files, or move those of one kind into a folder of their own.',
    );
  return names.map((name) => path.join(folder, name));
}
