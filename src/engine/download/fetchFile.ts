import { createHash } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { throwIfCancelled } from '../../common/cancellation';
import { hashFile } from '../../common/hashFile';
import { LoraError } from '../../shared/errors';
import { sizeOf, type HubFile } from './plan';

export interface Hub {
  /** Without a slash at its end. */
  readonly endpoint: string;
  readonly repository: string;
  readonly revision: string;
  readonly token: string | null;
  readonly signal: AbortSignal;
}

/** The message of a download that the user cancelled. */
export const CANCELLED = 'The download was cancelled.';

/** Where a file lies until it is whole. */
export const partOf = (file: HubFile, folder: string): string =>
  path.join(folder, `.${file.path}.part`);

/**
 * Whether the file is there, proven. Errors: LoraError('base') where another one has its name: it
 * stays.
 */
export async function isThere(file: HubFile, folder: string): Promise<boolean> {
  const target = path.join(folder, file.path);
  if (await isWhole(target, file)) return true;
  if ((await stat(target).catch(() => null)) === null) return false;
  throw new LoraError('base', 'The file is there already, and is not what the hub has.', {
    place: { file: target },
    fix: 'Choose another folder, or move the file away.',
  });
}

/**
 * The file whole and proven, or nothing new: what was fetched before goes on where it ended.
 * `onBytes` is told how many came. Errors: LoraError.
 */
export async function fetchFile(
  hub: Hub,
  file: HubFile,
  folder: string,
  onBytes: (count: number) => void,
): Promise<void> {
  const target = path.join(folder, file.path);
  const part = partOf(file, folder);
  await append(hub, file, part, onBytes);
  if (!(await isWhole(part, file))) {
    await rm(part, { force: true });
    throw new LoraError(
      'base',
      'What was downloaded is not what the hub says the file is (its checksum differs).',
      { place: { file: target }, fix: 'Download it again.' },
    );
  }
  await rename(part, target);
}

async function append(
  hub: Hub,
  file: HubFile,
  part: string,
  onBytes: (count: number) => void,
): Promise<void> {
  const size = sizeOf(file);
  const have = await stat(part).then(
    (found) => found.size,
    () => 0,
  );
  const start = have < size ? have : 0;
  if (have === size && have > 0) {
    onBytes(size);
    return;
  }
  const response = await answer(
    hub,
    `${hub.repository}/resolve/${encodeURIComponent(hub.revision)}/${file.path}`,
    start > 0 ? { Range: `bytes=${start}-` } : {},
  );
  const from = response.status === 206 ? start : 0;
  const handle = await open(part, from > 0 ? 'a' : 'w');
  try {
    onBytes(from);
    let written = from;
    for await (const chunk of response.body! as unknown as AsyncIterable<Uint8Array>) {
      written += chunk.length;
      if (written > size)
        throw new LoraError('base', `The hub sends more than the ${size} bytes that it named.`, {
          place: { file: part },
        });
      await handle.write(chunk);
      onBytes(chunk.length);
    }
  } catch (cause) {
    if (cause instanceof LoraError) throw cause;
    throwIfCancelled(hub.signal, 'The download was cancelled; it goes on where it ended.');
    throw new LoraError(
      'base',
      `The connection broke: ${cause instanceof Error ? cause.message : String(cause)}.`,
      { place: { file: part }, fix: 'Download again: it goes on where it ended.', cause },
    );
  } finally {
    await handle.close();
  }
}

/** Errors: LoraError that says what the hub refused. */
export async function answer(
  { endpoint, repository, token, signal }: Hub,
  address: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(`${endpoint}/${address}`, {
      signal,
      headers: { ...headers, ...(token !== null && { Authorization: `Bearer ${token}` }) },
    });
  } catch (cause) {
    throwIfCancelled(signal, CANCELLED);
    throw new LoraError('base', `The hub cannot be reached at ${endpoint}.`, {
      fix: 'Check the connection; HF_ENDPOINT names another hub.',
      cause,
    });
  }
  if (response.ok && response.body) return response;
  await response.body?.cancel();
  throw refusal(response.status, repository, token !== null);
}

/** Why the hub does not give what was asked for. */
export function refusal(status: number, repository: string, hasToken: boolean): LoraError {
  if (status === 401 || status === 403) {
    return new LoraError(
      'base',
      hasToken
        ? `The token may not read ${repository}.`
        : `${repository} is not there for everybody, or does not exist.`,
      {
        place: { file: repository, key: 'HF_TOKEN' },
        fix: 'Ask for access on its page, and use a token that may read it (HF_TOKEN).',
      },
    );
  }
  if (status === 404)
    return new LoraError('base', `The hub has no model ${repository}.`, {
      fix: 'Write owner/model as its page does.',
    });
  return new LoraError('base', `The hub answers ${status}.`, { fix: 'Try again later.' });
}

/** By SHA-256 for large files, by git's own for others; by its size where the hub names neither. */
async function isWhole(file: string, { lfs, oid, size }: HubFile): Promise<boolean> {
  const found = await stat(file).catch(() => null);
  if (found?.size !== (lfs?.size ?? size)) return false;
  if (lfs) return (await hashFile(file)) === lfs.oid;
  if (oid === undefined) return true;
  const hash = createHash('sha1').update(`blob ${size}\0`);
  return (await hashFile(file, { hash })) === oid;
}
