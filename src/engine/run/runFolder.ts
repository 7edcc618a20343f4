import { isHubSource, pathsOf } from '../../shared/datasetSources';
import type { FileHandle } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { pathExists, writeErrorReason } from '../../common/fileStatus';
import { FolderIsOwned, FolderLock } from '../../common/folderLock';
import { FileRefused, listFolder, MAX_BYTES } from '../../common/regularFile';
import { openForAppending, refuseLinks } from '../../common/withoutLinks';
import { areRunsPrivate, makePrivateFolder } from '../../common/privateFiles';
import { makeFolder } from '../../common/makeFolder';
import { readJsonObject } from '../../formats/json';
import { hubNameOfPath } from '../../formats/hub/hubName';
import { keepRunsOutOfGit } from '../../formats/run/gitIgnore';
import { countOf, isObject } from '../../shared/values';
import { LoraError } from '../../shared/errors';
import type { MetricLine } from '../../shared/metrics/lines';
import { RecipeSchema, type Recipe } from '../../shared/recipe';
import { isInRun, newRunId, RUN_FILES, RUNS_FOLDER, type RunRecord } from '../../shared/run';

/** The folder of a new run of a recipe, beside the recipe's file. */
export const newRunDir = (recipePath: string): string =>
  path.join(path.dirname(recipePath), RUNS_FOLDER, newRunId());

/**
 * Owns the folder of a run while `work` writes into it.
 *
 * @throws LoraError('run') when another process owns it or a file in it is a link,
 *   LoraError('disk') when it cannot be written
 */
export async function withRunFolder<T>(dir: string, work: () => Promise<T>): Promise<T> {
  await refuseLinkedFiles(dir);
  const lock = await FolderLock.take(dir).catch((error: unknown) => {
    throw error instanceof FolderIsOwned
      ? ownedError(error)
      : runNotWritable(dir, error, 'Make the folder writable.');
  });
  try {
    return await work();
  } finally {
    await lock.release();
  }
}

/** Links would let an untrusted folder choose which files the run changes. */
async function refuseLinkedFiles(dir: string): Promise<void> {
  const checkpoints = path.join(dir, RUN_FILES.checkpoints);
  try {
    for (const name of Object.values(RUN_FILES)) await refuseLinks(path.join(dir, name), dir);
    for (const { name } of await listFolder(checkpoints).catch(() => []))
      await refuseLinks(path.join(checkpoints, name), dir);
  } catch (error) {
    if (!(error instanceof FileRefused)) throw runNotWritable(dir, error, 'Make it readable.');
    throw new LoraError('run', `The run is not written: ${error.message}.`, {
      place: { file: dir },
      fix: 'Put the file or folder itself at the place of the link.',
      cause: error,
    });
  }
}

const ownedError = ({ folder, pid }: FolderIsOwned): LoraError =>
  new LoraError(
    'run',
    `The run is being trained by another process${pid === null ? '' : ` (${pid})`}.`,
    { place: { file: folder }, fix: 'Wait until it ends, or stop it.' },
  );

/**
 * Creates the folder of a new run, which only the user reads unless LORA_RUNS_PRIVATE is 0.
 *
 * @throws LoraError('disk') when it cannot be written
 */
export async function makeRunDir(dir: string): Promise<void> {
  const make = areRunsPrivate(process.env) ? makePrivateFolder : makeFolder;
  await make(dir).catch((error: unknown) => {
    throw runNotWritable(
      dir,
      error,
      'Make the folder writable, or choose another one (--run-dir).',
    );
  });
  await keepRunsOutOfGit(dir);
}

const runNotWritable = (dir: string, cause: unknown, fix: string): LoraError =>
  new LoraError('disk', `The run cannot be written: ${writeErrorReason(cause)}.`, {
    place: { file: dir },
    fix,
    cause,
  });

/** What a new run would overwrite or add to. */
const WRITTEN_BY_RUNS = [
  RUN_FILES.record,
  RUN_FILES.metrics,
  RUN_FILES.checkpoints,
  RUN_FILES.adapter,
  RUN_FILES.model,
  RUN_FILES.best,
] as const;

/** @throws LoraError('run') when a folder contains a run, or files that a run would overwrite */
export async function refuseUsedRunDir(dir: string): Promise<void> {
  for (const name of WRITTEN_BY_RUNS) {
    if (!(await pathExists(path.join(dir, name)))) continue;
    const message =
      name === RUN_FILES.record
        ? 'This folder already contains a run.'
        : `This folder already contains ${name}, which the run would overwrite.`;
    throw new LoraError('run', message, {
      place: { file: dir },
      fix: 'Choose another folder (--run-dir), or resume the run (--resume).',
    });
  }
}

/** What a new run's record is made from. */
export interface NewRun {
  readonly recipe: Recipe;
  /** The recipe's file. */
  readonly recipe_path: string | null;
  /** Version of LoRA Workbench. */
  readonly extension: string;
  readonly git_commit: string | null;
}

/** The record of a run that is about to start in `dir`. */
export function newRecord(
  dir: string,
  { recipe, recipe_path, extension, git_commit }: NewRun,
): RunRecord {
  return {
    version: 1,
    id: path.basename(dir),
    name: runName(recipe),
    state: 'preparing',
    created: new Date().toISOString(),
    started: null,
    ended: null,
    recipe,
    recipe_path,
    base: null,
    data: null,
    trainable_parameters: null,
    total_steps: null,
    versions: {
      extension,
      node: process.version,
      runtime: null,
      device: null,
      system: describeSystem(),
    },
    git_commit,
    result: {
      steps: 0,
      last_loss: null,
      last_validation_loss: null,
      last_validation_step: null,
      first_validation_loss: null,
      best_validation_loss: null,
      best_step: null,
      adapter: null,
    },
    error: null,
  };
}

/** "Linux 6.1 x64, AMD EPYC, 2 cores" */
function describeSystem(): string {
  const cores = os.cpus();
  const model = cores[0]?.model.trim() ?? '';
  return [
    `${os.type()} ${os.release()} ${os.arch()}`,
    ...(model === '' ? [] : [model]),
    countOf(cores.length, 'core'),
  ].join(', ');
}

/** "train.jsonl on SmolLM2-135M-Instruct" */
function runName({ base, dataset }: Recipe): string {
  const model = path
    .basename(hubNameOfPath(base) ?? base)
    .replace(/\.gguf$/i, '')
    .replace(/\.[QF]\d[\w]*$/, '');
  const [first = '', ...others] = pathsOf(dataset).map((file) =>
    path.basename(file, isHubSource(file) ? '' : path.extname(file)),
  );
  return `${first}${others.length > 0 ? ` and ${others.length} more` : ''} on ${model}`;
}

/** Reads the record of a run, to resume it. @throws LoraError('run') */
export async function readRecord(dir: string): Promise<RunRecord> {
  const record = await readJsonObject(path.join(dir, RUN_FILES.record), 'run', {
    maxBytes: MAX_BYTES.runRecord,
    links: 'refused',
  });
  refuseOtherFolders(record['result'], dir);
  // settings that are newer than the run get their defaults
  const recipe = v.safeParse(RecipeSchema, record['recipe']);
  if (record['version'] === 1 && recipe.success)
    return { ...record, recipe: recipe.output } as unknown as RunRecord;
  throw new LoraError('run', 'The run was written by a different version of LoRA Workbench.', {
    place: { file: path.join(dir, RUN_FILES.record) },
  });
}

/** @throws LoraError('run') when the result is said to be outside of the run's folder */
function refuseOtherFolders(result: unknown, dir: string): void {
  for (const key of ['adapter', 'model']) {
    const place = isObject(result) ? result[key] : null;
    if (typeof place !== 'string' || isInRun(place)) continue;
    throw new LoraError('run', `The path ${place} leads out of the folder of the run.`, {
      place: { file: path.join(dir, RUN_FILES.record), key: `result.${key}` },
    });
  }
}

/** Appends to metrics.jsonl. */
export class MetricsFile {
  private pending: Promise<void> = Promise.resolve();

  private constructor(
    private readonly handle: FileHandle,
    private readonly file: string,
  ) {}

  /** Removes an incomplete last line that a crash has left. @throws LoraError('disk') */
  static async open(dir: string): Promise<MetricsFile> {
    const file = path.join(dir, RUN_FILES.metrics);
    try {
      const handle = await openForAppending(file, dir);
      try {
        await dropIncompleteLine(handle);
        return new MetricsFile(handle, file);
      } catch (error) {
        await handle.close();
        throw error;
      }
    } catch (error) {
      throw metricsError(file, error);
    }
  }

  /**
   * Appends a line after those before it.
   *
   * @throws LoraError('disk'), including for each line after one that could not be written
   */
  append(line: MetricLine): Promise<void> {
    this.pending = this.pending
      .then(() => this.handle.appendFile(`${JSON.stringify(line)}\n`))
      .catch((error: unknown) => {
        throw error instanceof LoraError ? error : metricsError(this.file, error);
      });
    return this.pending;
  }

  /** Flushes and closes the file. */
  async close(): Promise<void> {
    await this.pending.catch(() => undefined);
    await this.handle.sync().catch(() => undefined);
    await this.handle.close();
  }
}

const BLOCK_BYTES = 2 ** 16;
const LINE_FEED = 10;

/** Cuts the file after its last line break. */
async function dropIncompleteLine(handle: FileHandle): Promise<void> {
  const { size } = await handle.stat();
  let end = size;
  while (end > 0) {
    const start = Math.max(0, end - BLOCK_BYTES);
    const { buffer } = await handle.read(Buffer.alloc(end - start), 0, end - start, start);
    const last = buffer.lastIndexOf(LINE_FEED);
    end = last < 0 ? start : start + last + 1;
    if (last >= 0) break;
  }
  if (end < size) await handle.truncate(end);
}

function metricsError(file: string, error: unknown): LoraError {
  return new LoraError('disk', `The metrics could not be written: ${writeErrorReason(error)}.`, {
    place: { file },
    fix: 'Free some disk space or make the folder writable, then resume the run (--resume).',
    cause: error,
  });
}
