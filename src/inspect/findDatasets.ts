import path from 'node:path';
import { listFolder, readHead } from '../common/regularFile';
import { openTable } from '../formats/tables/openTable';
import type { Table } from '../formats/tables/table';
import { kindByName } from '../formats/tables/tableKind';
import { taskOfKeys } from '../shared/task';
import { isObject } from '../shared/values';
import type { DatasetCandidate } from './questions';
import { walkFolders } from '../common/walkFolders';
import { rowFiles } from './rowFiles';

const VALIDATION_NAMES = ['validation', 'valid', 'val', 'dev', 'eval'];
const HELD_OUT = new RegExp(`^(${VALIDATION_NAMES.join('|')}|test)(?:\\.\\w+)+$`, 'i');

/**
 * Finds all files with rows and image folders of the workspace; those for validation or test by
 * their names come last.
 */
export async function findDatasets(
  workspaceFolders: readonly string[],
): Promise<DatasetCandidate[]> {
  const found: DatasetCandidate[] = [];
  for (const root of workspaceFolders) {
    const images = new ImageFolders();
    for await (const { dir, entries } of walkFolders(root)) {
      const names = entries
        .filter((e) => !e.isDirectory() && isDatasetName(e.name))
        .map((e) => e.name);
      for (const name of names) found.push(await datasetAt(path.join(dir, name), names, root));
      images.add(dir, entries.filter((e) => !e.isDirectory() && IMAGE.test(e.name)).length);
    }
    found.push(...images.found(root));
  }
  return found.sort((a, b) => Number(isHeldOut(a.path)) - Number(isHeldOut(b.path)));
}

const IMAGE = /\.(?:png|jpe?g)$/i;

/** Folders with several subfolders that contain images: each subfolder is a class. */
class ImageFolders {
  private readonly byParent = new Map<
    string,
    { readonly name: string; readonly images: number }[]
  >();

  add(dir: string, images: number): void {
    if (images === 0) return;
    const parent = path.dirname(dir);
    this.byParent.set(parent, [
      ...(this.byParent.get(parent) ?? []),
      { name: path.basename(dir), images },
    ]);
  }

  found(root: string): DatasetCandidate[] {
    const isInside = (dir: string) => !path.relative(root, dir).startsWith('..');
    return [...this.byParent]
      .filter(([dir, classes]) => classes.length > 1 && isInside(dir))
      .map(([dir, classes]) => ({
        path: dir,
        name: path.relative(root, dir) || path.basename(dir),
        bytes: 0,
        ...imageFacts(classes),
      }));
  }
}

interface ClassOfImages {
  readonly name: string;
  readonly images: number;
}

const imageFacts = (classes: readonly ClassOfImages[]) =>
  ({
    task: 'image_cls',
    validation: null,
    images: true,
    keys: classes.map(({ name }) => name),
    rows: classes.reduce((sum, { images }) => sum + images, 0),
  }) as const;

/** The classes of a folder of images that has no rows; null where it is not one. */
async function imageFolderAt(folder: string): Promise<readonly ClassOfImages[] | null> {
  const entries = await listFolder(folder).catch(() => []);
  if (entries.some((entry) => !entry.isDirectory() && isDatasetName(entry.name))) return null;
  const classes: ClassOfImages[] = [];
  for (const { name } of entries.filter((e) => e.isDirectory() && !e.name.startsWith('.'))) {
    const files = await listFolder(path.join(folder, name)).catch(() => []);
    const images = files.filter((file) => !file.isDirectory() && IMAGE.test(file.name)).length;
    if (images > 0) classes.push({ name, images });
  }
  return classes.length > 1 ? classes : null;
}

/** A name of a file with rows. One that ends in .json is mostly something else. */
function isDatasetName(name: string): boolean {
  const kind = kindByName(name);
  return kind !== null && kind.format !== 'json';
}

const isHeldOut = (file: string) => HELD_OUT.test(path.basename(file));

/** Describes a file with rows, or a folder of them. `siblings`: the names of what is beside it. */
export async function datasetAt(
  file: string,
  siblings: readonly string[],
  root = path.dirname(file),
): Promise<DatasetCandidate> {
  const name = path.relative(root, file) || path.basename(file);
  const classes = await imageFolderAt(file);
  if (classes) return { path: file, name, bytes: 0, ...imageFacts(classes) };
  const files = await rowFiles(file).catch(() => []);
  const [first] = files;
  const bytes = files.reduce((sum, own) => sum + own.bytes, 0);
  const read = first ? await readKind(first.path, first.bytes) : { keys: [], rows: null };
  const row = files.length === 1 ? read : { ...read, rows: null };
  const sibling = isHeldOut(file) ? undefined : validationAmong(siblings, path.extname(file));
  return {
    path: file,
    name,
    bytes,
    ...row,
    task: taskOfKeys(row.keys),
    validation: sibling === undefined ? null : path.join(path.dirname(file), sibling),
  };
}

const readKind = (file: string, bytes: number) =>
  path.extname(file).toLowerCase() === '.jsonl' ? readRows(file, bytes) : readTable(file, bytes);

/** The most specific name wins: validation.jsonl before dev.jsonl. */
function validationAmong(names: readonly string[], ending: string): string | undefined {
  for (const stem of VALIDATION_NAMES) {
    const name = names.find((n) => n.toLowerCase() === `${stem}${ending.toLowerCase()}`);
    if (name !== undefined) return name;
  }
  return undefined;
}

/** Rows are counted in files up to this size. */
const COUNTED_BYTES = 4 * 2 ** 20;

async function readRows(
  file: string,
  bytes: number,
): Promise<Pick<DatasetCandidate, 'keys' | 'rows'>> {
  const head = await readHead(file, COUNTED_BYTES).catch(() => null);
  if (!head) return { keys: [], rows: null };
  const lines = head
    .toString('utf8')
    .split('\n')
    .filter((line) => line.trim());
  return { keys: keysOf(lines[0]), rows: bytes > COUNTED_BYTES ? null : lines.length };
}

/** The first row and the number of rows of a table of any format. */
async function readTable(
  file: string,
  bytes: number,
): Promise<Pick<DatasetCandidate, 'keys' | 'rows'>> {
  const table = await openTable(file).catch(() => null);
  if (!table) return { keys: [], rows: null };
  try {
    const isQuick = table.count !== null || bytes <= COUNTED_BYTES;
    const rows = isQuick ? await table.countRows() : null;
    return { keys: await firstKeys(table), rows };
  } catch {
    return { keys: [], rows: null };
  } finally {
    await table.close();
  }
}

async function firstKeys(table: Table): Promise<string[]> {
  for await (const [row] of table.rows()) {
    if (row?.kind === 'json') return keysOf(row.bytes?.toString('utf8'));
    if (row?.kind !== 'values') return [];
    const { values } = row;
    return Object.keys(values).filter((key) => values[key] !== null);
  }
  return [...(table.columns ?? [])];
}

function keysOf(line: string | undefined): string[] {
  try {
    const row: unknown = JSON.parse(line ?? '');
    // null: the column belongs to rows of another format
    return isObject(row) ? Object.keys(row).filter((key) => row[key] !== null) : [];
  } catch {
    return [];
  }
}
