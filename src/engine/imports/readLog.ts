import { stat } from 'node:fs/promises';
import path from 'node:path';
import { fileErrorReason } from '../../common/fileStatus';
import { listFolder, MAX_BYTES, readRegularFile, readTextFile } from '../../common/regularFile';
import { walkFolders } from '../../common/walkFolders';
import { readEventLog } from '../../formats/logs/eventLog';
import type { ImportedLog } from '../../formats/logs/importedLog';
import { readMlxLog } from '../../formats/logs/mlxLog';
import { readTrainerState, TRAINER_STATE } from '../../formats/logs/trainerState';
import { readEvents } from '../../formats/tensorboard/events';
import { LoraError } from '../../shared/errors';

const MAX_LOG_BYTES = 64 * 2 ** 20;
const MAX_EVENT_FILES = 50;
const MAX_EVENT_BYTES = 256 * 2 ** 20;
const MAX_NAMED = 5;

/** A log, and the file or folder that it was read from. */
export interface FoundLog {
  readonly log: ImportedLog;
  readonly file: string;
  /** Where an adapter would be. */
  readonly folder: string;
  /** When the log was written last, in milliseconds since 1970. */
  readonly written: number;
  readonly isDamaged: boolean;
}

/**
 * Finds and reads the log of a training run at a path: trainer_state.json, event files or the
 * output of mlx-lm; or a folder with one of the first two, of checkpoints in it that of the last.
 *
 * @throws LoraError('usage' | 'run') when there is none, or several
 */
export async function readLog(place: string): Promise<FoundLog> {
  const info = await stat(place).catch((error: unknown) => {
    throw new LoraError('run', `It cannot be read: ${fileErrorReason(error)}.`, {
      place: { file: place },
    });
  });
  const written = info.mtimeMs;
  try {
    return { ...(info.isDirectory() ? await inFolder(place) : await inFile(place)), written };
  } catch (error) {
    if (error instanceof LoraError) throw error.place ? error : atPlace(error, place);
    throw new LoraError('run', `The log cannot be read: ${fileErrorReason(error)}.`, {
      place: { file: place },
      cause: error,
    });
  }
}

const atPlace = ({ area, message, fix }: LoraError, file: string): LoraError =>
  new LoraError(area, message, { place: { file }, ...(fix !== undefined && { fix }) });

type ReadLog = Omit<FoundLog, 'written'>;

const isEventFile = (file: string): boolean => path.basename(file).includes('.tfevents.');

async function inFile(file: string): Promise<ReadLog> {
  if (isEventFile(file)) return events([file]);
  const folder = path.dirname(file);
  if (file.endsWith('.json')) return { ...(await trainerState(file)), folder };
  const log = readMlxLog(await readTextFile(file, { maxBytes: MAX_LOG_BYTES }));
  if (log) return { log, file, folder, isDamaged: false };
  throw notALog(file);
}

async function trainerState(file: string): Promise<ReadLog> {
  const text = await readTextFile(file, { maxBytes: MAX_LOG_BYTES });
  const log = readTrainerState(parsed(text, file));
  if (log) return { log, file, folder: path.dirname(file), isDamaged: false };
  throw new LoraError('run', 'The file has no history of losses as transformers writes it.', {
    place: { file },
  });
}

function parsed(text: string, file: string): unknown {
  try {
    // Python writes NaN and Infinity
    return JSON.parse(text.replace(/(:\s*)-?(?:NaN|Infinity)(?=\s*[,}])/g, '$1null'));
  } catch (cause) {
    throw new LoraError('run', 'The file is not valid JSON.', { place: { file }, cause });
  }
}

async function inFolder(folder: string): Promise<ReadLog> {
  const names = (await listFolder(folder)).map(({ name }) => name);
  if (names.includes(TRAINER_STATE)) return trainerState(path.join(folder, TRAINER_STATE));
  const last = names
    .filter((name) => /^checkpoint-\d+$/.test(name))
    .sort((a, b) => Number(b.slice(11)) - Number(a.slice(11)))[0];
  if (last !== undefined) {
    const state = await trainerState(path.join(folder, last, TRAINER_STATE));
    // the result lies above its checkpoints
    return { ...state, folder: names.includes('adapter_config.json') ? folder : state.folder };
  }
  return events(await eventFilesIn(folder));
}

async function eventFilesIn(folder: string): Promise<readonly string[]> {
  const found = new Map<string, string[]>();
  for await (const { dir, entries } of walkFolders(folder, { depth: 3, folders: 500 })) {
    const own = entries.filter((entry) => entry.isFile() && isEventFile(entry.name));
    if (own.length > 0)
      found.set(
        dir,
        own.map(({ name }) => path.join(dir, name)),
      );
  }
  const [only, ...others] = found.values();
  if (!only) throw notALog(folder);
  if (others.length === 0) return only;
  const named = [...found.keys()].slice(0, MAX_NAMED).map((dir) => path.relative(folder, dir));
  throw new LoraError('usage', `The folder has the event files of ${found.size} runs.`, {
    place: { file: folder },
    fix: `Import one at a time: ${named.map((name) => name || '.').join(', ')}.`,
  });
}

async function events(files: readonly string[]): Promise<ReadLog> {
  const [first = ''] = files;
  if (files.length > MAX_EVENT_FILES)
    throw new LoraError('usage', `The run has more than ${MAX_EVENT_FILES} event files.`, {
      place: { file: path.dirname(first) },
      fix: 'Import one of them.',
    });
  const buffers: Buffer[] = [];
  let left = MAX_EVENT_BYTES;
  for (const file of files) {
    const bytes = await readRegularFile(file, { maxBytes: Math.min(left, MAX_BYTES.modelJson) });
    left -= bytes.length;
    buffers.push(bytes);
  }
  const { scalars, isEventFile: isOne, isDamaged } = readEvents(...buffers);
  const log = isOne ? readEventLog(scalars) : null;
  if (log) return { log, file: first, folder: path.dirname(first), isDamaged };
  throw new LoraError(
    'run',
    isOne ? 'None of the tags is a loss.' : 'The file does not begin as event files do.',
    { place: { file: first } },
  );
}

const notALog = (file: string): LoraError =>
  new LoraError('usage', 'No log of a training run was found.', {
    place: { file },
    fix: 'Name trainer_state.json, a folder with event files of TensorBoard, or the saved output of mlx_lm.lora.',
  });
