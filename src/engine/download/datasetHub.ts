import { homedir } from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { replaceFile, writeAll } from '../../common/atomicWrite';
import { makeFolder } from '../../common/makeFolder';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import type { HubFiles } from '../../data/dataset/sources';
import { openTable } from '../../formats/tables/openTable';
import { sourceName, type DatasetSource } from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import { checkDiskSpace } from '../outputPath';
import { fetchFile, isDownloaded } from './fetchFile';
import { listHubFiles, revisionOf } from './hub';
import { hubEndpoint, hubToken } from './hubEnvironment';
import type { Hub } from './hubFetch';
import { hubFileSize, isSafeFile, type HubFile } from './plan';
import { filesOfSplit, parseDatasetName, splitsOf, type NamedSplit } from './splits';

/** The branch in which the Hub keeps each dataset as Parquet. */
const CONVERTED = 'refs/convert/parquet';
const COMMIT = /^[0-9a-f]{40}$/;
/** Disk space that stays free. */
const SPARE_BYTES = 1e9;

/** Where datasets on the Hub are kept, outside of any workspace. */
export const datasetCache = (): string =>
  process.env['LORA_DATASETS_HOME'] || path.join(homedir(), '.cache', 'lora-workbench', 'datasets');

/** The files of a source on this disk, and the commit that they are from. */
export interface HubSplit {
  readonly files: readonly string[];
  readonly revision: string;
}

/** How a download is followed. */
export interface DownloadHooks {
  readonly signal: AbortSignal;
  /** From 0 to 1; not called where nothing is downloaded. What it throws ends the download. */
  readonly onProgress?: ((fraction: number) => void) | undefined;
}

/**
 * Downloads the Parquet files of a split of a dataset on the Hub, unless they are here already: all
 * of them, or as many as its first rows need. Each is verified by its SHA-256. A download that was
 * interrupted is resumed. What is named by a commit and here is read without a connection.
 *
 * @throws LoraError('dataset') naming the configurations or splits there are; 'disk', 'cancelled'
 */
export async function downloadSplit(
  source: DatasetSource,
  hooks: DownloadHooks,
): Promise<HubSplit> {
  try {
    const { hub, folder, all } = await listed(source, hooks.signal);
    const wanted = { files: filesOfSplit(all, source), folder, rows: source.rows };
    return { files: await fetched(hub, wanted, hooks.onProgress), revision: hub.revision };
  } catch (error) {
    throw asDatasetError(error, source);
  }
}

/**
 * The configurations and splits that the Hub has of a dataset.
 *
 * @throws LoraError('dataset'), 'cancelled'
 */
export async function listSplits(
  source: DatasetSource,
  signal: AbortSignal,
): Promise<readonly NamedSplit[]> {
  try {
    return splitsOf((await listed(source, signal)).all, source.path);
  } catch (error) {
    throw asDatasetError(error, source);
  }
}

/** A dataset at a commit, the folder that it is kept in, and all of its Parquet files. */
async function listed(source: DatasetSource, signal: AbortSignal) {
  const { name, revision } = parseDatasetName(source.path);
  const hub: Hub = {
    endpoint: hubEndpoint(),
    repository: `datasets/${name}`,
    revision: revision ?? CONVERTED,
    token: hubToken(),
    signal,
  };
  const commit = COMMIT.test(hub.revision) ? hub.revision : await revisionOf(hub);
  const pinned = { ...hub, revision: commit };
  const folder = path.join(datasetCache(), name.replace('/', '--'), commit);
  return { hub: pinned, folder, all: await listing(pinned, path.join(folder, 'files.json')) };
}

const ListingSchema = v.array(
  v.object({
    path: v.string(),
    size: v.number(),
    lfs: v.optional(v.object({ oid: v.string(), size: v.number() })),
    oid: v.optional(v.string()),
  }),
);

/** The Parquet files of a commit, which is listed once. */
async function listing(hub: Hub, file: string): Promise<readonly HubFile[]> {
  const known = await readTextFile(file, { maxBytes: MAX_BYTES.runRecord }).then(
    (text) => v.safeParse(ListingSchema, JSON.parse(text)),
    () => null,
  );
  if (known?.success === true) return known.output;
  const files = (await listHubFiles(hub)).filter(({ path: name }) => name.endsWith('.parquet'));
  await makeFolder(path.dirname(file));
  await replaceFile(file, (handle) => writeAll(handle, Buffer.from(JSON.stringify(files))));
  return files;
}

interface Wanted {
  readonly files: readonly HubFile[];
  readonly folder: string;
  readonly rows: number | null;
}

async function fetched(
  hub: Hub,
  { files, folder, rows }: Wanted,
  onProgress: DownloadHooks['onProgress'],
): Promise<string[]> {
  const here: string[] = [];
  let found = 0;
  for (const [i, file] of files.entries()) {
    if (rows !== null && found >= rows) break;
    if (!isSafeFile(file.path))
      throw new LoraError('dataset', `The name of a file on the Hub is refused: ${file.path}.`);
    const target = path.join(folder, ...file.path.split('/'));
    const own = path.dirname(target);
    if (!(await isDownloaded(file, own))) {
      await makeFolder(own);
      const size = hubFileSize(file);
      await checkDiskSpace(own, size + SPARE_BYTES);
      let done = 0;
      await fetchFile(hub, file, own, (count) => {
        done += count;
        onProgress?.((i + done / Math.max(1, size)) / files.length);
      });
    }
    here.push(target);
    if (rows !== null) found += await rowsIn(target);
  }
  return here;
}

async function rowsIn(file: string): Promise<number> {
  const table = await openTable(file);
  try {
    return await table.countRows();
  } finally {
    await table.close();
  }
}

/** Errors of the Hub name the dataset. */
function asDatasetError(error: unknown, source: DatasetSource): unknown {
  if (!(error instanceof LoraError) || error.area !== 'base') return error;
  const { message, place, fix, cause } = error;
  return new LoraError('dataset', message, {
    place: place?.key === undefined ? { file: sourceName(source) } : place,
    ...(fix !== undefined && { fix: fix.replace('owner/model', 'hf://owner/name') }),
    cause,
  });
}

/** Receives the progress of downloads while a recipe's rows are read. */
export interface DownloadReport {
  /** Called often; what it throws ends the download. */
  readonly check?: (() => void) | undefined;
  /** A line at each tenth. */
  readonly info?: ((text: string) => void) | undefined;
}

/** Finds the files of datasets on the Hub while a recipe's rows are read. */
export const hubFiles =
  ({ check, info }: DownloadReport = {}): HubFiles =>
  (source) => {
    let told = -1;
    return downloadSplit(source, {
      signal: new AbortController().signal,
      onProgress: (fraction) => {
        check?.();
        const tenth = Math.floor(10 * fraction);
        if (tenth > told) info?.(`Downloading ${sourceName(source)}: ${10 * tenth}%`);
        told = Math.max(told, tenth);
      },
    });
  };
