import { readdir, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { formatSize } from '../common/formatSize';
import { isInFolder, isSamePath } from '../common/samePath';
import { freeDiskBytes } from '../common/system';
import { isTroubleOnWindows } from '../common/windowsNames';
import { LoraError } from '../shared/errors';

/**
 * Checks that a job can write its output without changing what it reads.
 * @throws LoraError('usage') when the output is inside an input, contains one, or exists already
 * (an empty folder is allowed), or has a name that Windows does not take.
 */
export async function checkOutput(
  output: string,
  inputs: readonly string[],
  platform = process.platform,
): Promise<void> {
  if (platform === 'win32') checkNames(output);
  const realOutput = await resolveLinks(output);
  for (const input of inputs) {
    const realInput = await resolveLinks(input);
    if (isWithin(realOutput, realInput) || isWithin(realInput, realOutput)) {
      throw new LoraError(
        'usage',
        `The output must not be inside an input or contain it: ${input}.`,
        {
          place: { file: output },
          fix: 'Choose another folder: nothing is changed in place.',
        },
      );
    }
  }
  if (await isTaken(output)) {
    throw new LoraError('usage', 'The output exists already.', {
      place: { file: output },
      fix: 'Choose a folder or file that does not exist.',
    });
  }
}

/**
 * @throws LoraError('usage') for a name that Node can create on Windows, but no program can remove.
 */
function checkNames(output: string): void {
  const name = path.win32.basename(output);
  if (!isTroubleOnWindows(name)) return;
  throw new LoraError('usage', `Windows takes no file or folder of the name ${name}.`, {
    place: { file: output },
    fix: 'Choose another name.',
  });
}

async function isTaken(output: string): Promise<boolean> {
  const found = await stat(output).catch(() => null);
  if (!found) {
    return false;
  }
  return !found.isDirectory() || (await readdir(output)).length > 0;
}

/** The real path, even if its last parts do not exist yet. */
async function resolveLinks(file: string): Promise<string> {
  const absolute = path.resolve(file);
  const parent = path.dirname(absolute);
  return realpath(absolute).catch(async () =>
    absolute === parent ? absolute : path.join(await resolveLinks(parent), path.basename(absolute)),
  );
}

const isWithin = (inner: string, outer: string) =>
  isSamePath(inner, outer) || isInFolder(inner, outer);

/**
 * Checks that the output's disk has enough free space.
 * @throws LoraError('disk') when it has less than `bytes`.
 */
export async function checkDiskSpace(output: string, bytes: number): Promise<void> {
  const free = await freeDiskBytes(await nearestFolder(path.resolve(output)));
  if (free >= bytes) {
    return;
  }
  throw new LoraError(
    'disk',
    `The output needs ${formatSize(bytes)}, but only ${formatSize(free)} is free.`,
    {
      place: { file: output },
      fix: 'Free disk space, or choose a folder on another disk.',
    },
  );
}

async function nearestFolder(file: string): Promise<string> {
  const isFolder = await stat(file).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return isFolder ? file : nearestFolder(path.dirname(file));
}
