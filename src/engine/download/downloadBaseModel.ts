import path from 'node:path';
import { writeErrorReason } from '../../common/fileStatus';
import { makeFolder } from '../../common/makeFolder';
import { refuseLinks } from '../../common/withoutLinks';
import { LoraError } from '../../shared/errors';
import { checkDiskSpace } from '../outputPath';
import { fetchFile, isDownloaded, partialBytes } from './fetchFile';
import { listModelFiles } from './hub';
import type { Hub } from './hubFetch';
import { hubFileSize, planDownload, type HubFile } from './plan';

/** What to download, and where to. */
export interface Download {
  readonly hub: Hub;
  /** One .gguf file, which keeps its folder in the output; null: the whole model as safetensors. */
  readonly file: string | null;
  readonly output: string;
  readonly onProgress: (fraction: number) => void;
}

/** Disk space that stays free. */
const SPARE_BYTES = 100e6;

/**
 * Downloads a model into a folder and verifies each file's checksum; resumes an interrupted
 * download. Returns the base (the folder, or the .gguf file) and its size.
 * @throws LoraError('base') when the Hub or the folder is not usable; 'disk', 'cancelled'.
 */
export async function downloadBaseModel({
  hub,
  file,
  output,
  onProgress,
}: Download): Promise<{ readonly base: string; readonly bytes: number }> {
  const { repository } = hub;
  const files = planDownload(await listModelFiles(hub, file), { repository, file });
  const missing: PlacedFile[] = [];
  for (const own of files) {
    const folder = await folderOf(own.path, output);
    if (!(await isDownloaded(own, folder))) {
      missing.push({ own, folder });
    }
  }
  const remaining = await remainingBytes(missing);
  if (remaining > 0) {
    await checkDiskSpace(output, remaining + SPARE_BYTES);
  }
  const total = sumOfSizes(files);
  let done = total - sumOfSizes(missing.map(({ own }) => own));
  const showProgress = () => onProgress(total === 0 ? 1 : done / total);
  showProgress();
  for (const { own, folder } of missing) {
    await fetchFile(hub, own, folder, (count) => {
      done += count;
      showProgress();
    });
  }
  return {
    base: file === null ? output : path.join(output, ...file.split('/')),
    bytes: total,
  };
}

/** A file, and the folder that it is written to. */
interface PlacedFile {
  readonly own: HubFile;
  readonly folder: string;
}

/**
 * The folder for a file, that of the repository within the output. It is created; links in the
 * output are not followed.
 *
 * @throws LoraError('disk')
 */
async function folderOf(file: string, output: string): Promise<string> {
  const folder = path.join(output, path.posix.dirname(file));
  try {
    await refuseLinks(folder, output);
    await makeFolder(folder);
    return folder;
  } catch (cause) {
    const message = `The model cannot be downloaded to this folder: ${writeErrorReason(cause)}.`;
    throw new LoraError('disk', message, {
      place: { file: folder },
      fix: 'Choose another folder (--output).',
      cause,
    });
  }
}

const sumOfSizes = (files: readonly HubFile[]): number =>
  files.reduce((sum, file) => sum + hubFileSize(file), 0);

/** Without the bytes that an interrupted download left. */
async function remainingBytes(files: readonly PlacedFile[]): Promise<number> {
  const remaining = await Promise.all(
    files.map(async ({ own, folder }) =>
      Math.max(0, hubFileSize(own) - (await partialBytes(own, folder))),
    ),
  );
  return remaining.reduce((a, b) => a + b, 0);
}
