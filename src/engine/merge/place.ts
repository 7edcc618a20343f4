import { readdir, realpath, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { formatSize } from '../../common/formatSize';
import { freeDiskBytes, isProcessAlive } from '../../common/system';
import { LoraError } from '../../shared/errors';
import { escapeRegExp } from '../../shared/values';

/**
 * Errors: LoraError where the output would lie in an input, or an input in it, or something is
 * there already.
 */
export async function checkOutput(output: string, inputs: readonly string[]): Promise<void> {
  const own = await real(output);
  for (const input of inputs) {
    const other = await real(input);
    if (!isWithin(own, other) && !isWithin(other, own)) continue;
    throw new LoraError(
      'usage',
      `The output may not lie in what is merged, nor hold it: ${input}.`,
      { place: { file: output }, fix: 'Name a folder elsewhere: nothing is changed in place.' },
    );
  }
  const there = await stat(output).catch(() => null);
  if (there && (!there.isDirectory() || (await readdir(output)).length > 0))
    throw new LoraError('usage', 'There is something at the output already.', {
      place: { file: output },
      fix: 'Name a folder that is not there yet.',
    });
}

/** With links followed, also where the end of the path is not there yet. */
async function real(file: string): Promise<string> {
  const absolute = path.resolve(file);
  return realpath(absolute).catch(async () =>
    absolute === path.dirname(absolute)
      ? absolute
      : path.join(await real(path.dirname(absolute)), path.basename(absolute)),
  );
}

const isWithin = (inner: string, outer: string) =>
  inner === outer || inner.startsWith(outer.endsWith(path.sep) ? outer : outer + path.sep);

/** Errors: LoraError('disk') where the disk has less room than the output needs. */
export async function checkRoom(output: string, bytes: number): Promise<void> {
  const free = await freeDiskBytes(await nearestFolder(path.resolve(output)));
  if (free >= bytes) return;
  throw new LoraError(
    'disk',
    `The output needs ${formatSize(bytes)}, and ${formatSize(free)} are free.`,
    {
      place: { file: output },
      fix: 'Free some room, or name a folder on another disk.',
    },
  );
}

async function nearestFolder(file: string): Promise<string> {
  return (await stat(file).then(
    (found) => found.isDirectory(),
    () => false,
  ))
    ? file
    : nearestFolder(path.dirname(file));
}

/** Removes what a killed merge into the same folder has left half-written. */
export async function clearUnfinished(output: string): Promise<void> {
  const folder = path.dirname(path.resolve(output));
  const unfinished = new RegExp(`^${escapeRegExp(path.basename(output))}\\.(\\d+)\\.tmp$`);
  for (const name of await readdir(folder).catch((): string[] => [])) {
    const [, pid] = unfinished.exec(name) ?? [];
    if (pid !== undefined && !isProcessAlive(Number(pid)))
      await rm(path.join(folder, name), { recursive: true, force: true });
  }
}
