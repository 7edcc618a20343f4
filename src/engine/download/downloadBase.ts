import { listFiles } from '@huggingface/hub';
import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { throwIfCancelled } from '../../common/cancellation';
import { LoraError } from '../../shared/errors';
import { checkRoom } from '../merge/place';
import { CANCELLED, fetchFile, isThere, partOf, refusal, type Hub } from './fetchFile';
import { filesToTake, sizeOf, type HubFile } from './plan';

export interface Download {
  readonly hub: Hub;
  /** One .gguf file; null: the whole model as safetensors. */
  readonly file: string | null;
  readonly output: string;
  readonly onProgress: (fraction: number) => void;
}

/** Room that stays free. */
const SPARE_BYTES = 100e6;

/**
 * A model of the hub in a folder, each file proven by its checksum; one that was interrupted goes
 * on. Gives what is a base: the folder, or the .gguf file. Errors: LoraError.
 */
export async function downloadBase({
  hub,
  file,
  output,
  onProgress,
}: Download): Promise<{ readonly base: string; readonly bytes: number }> {
  const files = filesToTake(await list(hub), { repository: hub.repository, file });
  const total = files.reduce((sum, own) => sum + sizeOf(own), 0);
  await mkdir(output, { recursive: true });
  const missing: HubFile[] = [];
  for (const own of files) if (!(await isThere(own, output))) missing.push(own);
  const bytes = await bytesToCome(missing, output);
  if (bytes > 0) await checkRoom(output, bytes + SPARE_BYTES);
  let done = total - missing.reduce((sum, own) => sum + sizeOf(own), 0);
  onProgress(total === 0 ? 1 : done / total);
  for (const own of missing) {
    await fetchFile(hub, own, output, (count) => {
      done += count;
      onProgress(total === 0 ? 1 : done / total);
    });
  }
  return { base: file === null ? output : path.join(output, file), bytes: total };
}

async function list({ endpoint, repository, revision, token, signal }: Hub): Promise<HubFile[]> {
  const files: HubFile[] = [];
  try {
    const own = (url: Parameters<typeof fetch>[0], init?: RequestInit) =>
      fetch(url, { ...init, signal });
    for await (const entry of listFiles({
      repo: repository,
      revision,
      hubUrl: endpoint,
      fetch: own,
      ...(token !== null && { accessToken: token }),
    })) {
      if (entry.type === 'file')
        files.push({ path: entry.path, size: entry.size, oid: entry.oid, lfs: entry.lfs });
    }
  } catch (cause) {
    const status = (cause as { readonly statusCode?: unknown }).statusCode;
    if (typeof status === 'number') throw refusal(status, repository, token !== null);
    throwIfCancelled(signal, CANCELLED);
    throw new LoraError('base', `The hub cannot be reached at ${endpoint}.`, {
      fix: 'Check the connection; HF_ENDPOINT names another hub.',
      cause,
    });
  }
  return files;
}

/** What an earlier download left of them left out. */
async function bytesToCome(files: readonly HubFile[], folder: string): Promise<number> {
  const parts = await Promise.all(
    files.map((own) =>
      stat(partOf(own, folder)).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return files.reduce((sum, own, i) => sum + Math.max(0, sizeOf(own) - parts[i]!), 0);
}
