import { existsSync } from 'node:fs';
import { lstat, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { withRetries } from '../common/atomicWrite';
import { throwIfCancelled } from '../common/cancellation';
import { formatSize } from '../common/formatSize';
import { makeFolder } from '../common/makeFolder';
import { Stalled, steadyBody, USUAL_PATIENCE } from '../common/steadyBody';
import { openForAppending } from '../common/withoutLinks';
import { LoraError } from '../shared/errors';
import { INSTALLATION_CANCELLED } from './exec';
import { requireSpaceForRuntime } from './installFolder';
import type { WheelPin } from './pins';
import type { InstallOptions } from './runtime';
import { checkWheel, WrongFileError } from './wheel';

// A mirror needs no Python: a folder, or a server that sends the files of one, with the pinned
// wheels under the names that they have in every package index.

/** A wheel of a mirror; `isOwn`: it was downloaded, and is not needed once it is unpacked. */
export interface MirroredWheel {
  readonly file: string;
  readonly isOwn: boolean;
}

/** Where a wheel is fetched from, and to. */
export interface MirrorRequest {
  /** An address that begins with http:// or https://, or the full path of a folder. */
  readonly mirror: string;
  readonly home: string;
  readonly options: InstallOptions;
}

/**
 * Gets a pinned wheel from a mirror and checks it. What an interrupted download left is continued.
 *
 * @throws LoraError('runtime') when the mirror does not have it, WrongFileError, 'disk',
 *   'cancelled'.
 */
export async function fetchWheel(
  pin: WheelPin,
  { mirror, home, options }: MirrorRequest,
): Promise<MirroredWheel> {
  const name = fileNameOf(pin);
  if (!/^https?:\/\//i.test(mirror)) {
    const file = path.join(folderOf(mirror), name);
    if (!existsSync(file)) throw mirrorError(`${file} does not exist`);
    await checkWheel(file, pin, options.signal);
    return { file, isOwn: false };
  }
  const folder = path.join(home, 'downloads');
  const file = path.join(folder, name);
  const partial = `${file}.part`;
  await makeFolder(folder);
  await download(new URL(name, withSlash(mirror)), partial, pin, options);
  try {
    await checkWheel(partial, pin, options.signal);
  } catch (error) {
    if (error instanceof WrongFileError) await rm(partial, { force: true });
    throw error;
  }
  await withRetries(() => rename(partial, file));
  return { file, isOwn: true };
}

/** @throws LoraError('runtime') when the path depends on the working folder. */
function folderOf(mirror: string): string {
  if (path.isAbsolute(mirror)) return mirror;
  throw new LoraError('runtime', `${mirror} is neither an address nor the full path of a folder.`, {
    fix: FIX,
  });
}

const RANGE_REFUSED = 416;

const withSlash = (address: string) => (address.endsWith('/') ? address : `${address}/`);

function fileNameOf({ file, package: name }: WheelPin): string {
  if (file !== undefined) return file;
  throw new LoraError('runtime', `${name} has no name in a mirror.`);
}

async function download(
  address: URL,
  partial: string,
  pin: WheelPin,
  { signal, onProgress }: InstallOptions,
): Promise<void> {
  let present = await sizeOf(partial);
  if (present === pin.wheel_size) return;
  if (present > pin.wheel_size) present = 0;
  await requireSpaceForRuntime(path.dirname(partial), pin.wheel_size - present);
  const message = `Downloading ${pin.package} ${pin.version} (${formatSize(pin.wheel_size)})`;
  const response = await request(address, present, signal);
  const start = startOf(response, present);
  const handle = await openForAppending(partial);
  try {
    if (start > present) throw mirrorError(`${address.href} leaves out a part of the file`);
    await handle.truncate(start); // what follows is sent again
    let written = start;
    for await (const chunk of steadyBody(response.body!, USUAL_PATIENCE)) {
      throwIfCancelled(signal, INSTALLATION_CANCELLED);
      written += chunk.length;
      if (written > pin.wheel_size) throw mirrorError(`${address.href} is larger than expected`);
      await handle.write(chunk);
      onProgress({ message, fraction: written / pin.wheel_size });
    }
  } catch (cause) {
    if (cause instanceof LoraError || isFileError(cause)) throw cause;
    throwIfCancelled(signal, INSTALLATION_CANCELLED);
    const problem = cause instanceof Stalled ? 'is too slow' : 'broke the connection';
    throw mirrorError(`${address.host} ${problem}: ${reasonOf(cause)}`, cause);
  } finally {
    await handle.close();
  }
}

/** The first byte of an answer's body: a server may ignore which part it was asked for. */
function startOf({ status, headers }: Response, asked: number): number {
  if (status !== 206) return 0;
  const [, start] = /^bytes (\d+)-/i.exec(headers.get('content-range') ?? '') ?? [];
  return start === undefined ? asked : Number(start);
}

/** Through the proxy and with the certificates of `fetch`, which are VS Code's in the editor. */
async function request(address: URL, start: number, signal: AbortSignal): Promise<Response> {
  try {
    const response = await fetch(address, {
      signal,
      headers: start > 0 ? { Range: `bytes=${start}-` } : {},
    });
    if (response.ok && response.body) return response;
    await response.body?.cancel();
    if (response.status === RANGE_REFUSED && start > 0) return await request(address, 0, signal);
    throw mirrorError(`${address.href} answers with ${response.status}`);
  } catch (cause) {
    if (cause instanceof LoraError) throw cause;
    throwIfCancelled(signal, INSTALLATION_CANCELLED);
    throw mirrorError(`${address.host} cannot be reached: ${reasonOf(cause)}`, cause);
  }
}

const FIX = 'Correct the setting lora.runtime.url, or clear it, then try again.';

const mirrorError = (problem: string, cause?: unknown) =>
  new LoraError('runtime', `The mirror of the runtime cannot be used: ${problem}.`, {
    fix: FIX,
    cause,
  });

/** fetch hides the reason in its cause. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? cause.message : message;
}

const isFileError = (error: unknown): boolean =>
  ['ENOSPC', 'EDQUOT', 'EACCES', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '');

const sizeOf = (file: string): Promise<number> =>
  lstat(file).then(
    (info) => (info.isFile() ? info.size : 0),
    () => 0,
  );
