import { listFiles } from '@huggingface/hub';
import * as v from 'valibot';
import { throwIfCancelled } from '../../common/cancellation';
import { LoraError } from '../../shared/errors';
import { fetchFromHub, listFetch, type Hub } from './hubFetch';
import type { HubFile } from './plan';
import { Stalled } from '../../common/steadyBody';

/**
 * The files of the repository.
 * @throws LoraError('base') when the Hub refuses or cannot be reached; 'cancelled'.
 */
export async function listHubFiles(hub: Hub): Promise<HubFile[]> {
  const { endpoint, repository, revision } = hub;
  const files: HubFile[] = [];
  try {
    const entries = listFiles({
      repo: repository,
      revision,
      hubUrl: endpoint,
      fetch: listFetch(hub),
    });
    for await (const entry of entries) {
      if (entry.type === 'file') {
        files.push(checkedFile(entry, repository));
      }
    }
  } catch (cause) {
    if (cause instanceof LoraError) {
      throw cause;
    }
    const status = (cause as { readonly statusCode?: unknown }).statusCode;
    throw typeof status === 'number' ? refusal(hub, status) : connectionError(hub, cause);
  }
  return files;
}

const Size = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const FileSchema = v.object({
  path: v.pipe(v.string(), v.maxLength(4096)),
  size: Size,
  oid: v.optional(v.string()),
  lfs: v.optional(v.object({ oid: v.string(), size: Size })),
});

/** @throws LoraError('base') when the Hub's entry is not one of a file. */
function checkedFile(entry: unknown, repository: string): HubFile {
  const parsed = v.safeParse(FileSchema, entry);
  if (parsed.success) {
    return parsed.output;
  }
  const message = `The Hub's list of the files of ${repository} is damaged.`;
  throw new LoraError('base', message, { fix: 'Try again later.', cause: parsed.issues });
}

/**
 * Requests a file from byte `start` on. The Hub may send it from the beginning: see the status.
 * @throws LoraError('base') when the Hub refuses or cannot be reached; 'cancelled'.
 */
export async function requestHubFile(hub: Hub, file: HubFile, start: number): Promise<Response> {
  const { endpoint, repository, revision } = hub;
  const url = `${endpoint}/${repository}/resolve/${encodeURIComponent(revision)}/${encodeURIComponent(file.path)}`;
  const range = start > 0 ? { Range: `bytes=${start}-` } : {};
  const response = await fetchFromHub(url, hub, range).catch((cause: unknown) => {
    throw cause instanceof LoraError ? cause : connectionError(hub, cause);
  });
  if (response.ok && response.body) {
    return response;
  }
  await response.body?.cancel();
  throw refusal(hub, response.status);
}

function connectionError({ endpoint, signal }: Hub, cause: unknown): LoraError {
  throwIfCancelled(signal, 'The download was cancelled.');
  if (cause instanceof Stalled)
    return new LoraError('base', `The Hub at ${endpoint} is too slow: ${cause.message}.`, {
      fix: 'Try again later. HF_ENDPOINT names another hub.',
      cause,
    });
  return new LoraError('base', `The Hub cannot be reached at ${endpoint}.`, {
    fix: 'Check the connection. HF_ENDPOINT names another hub.',
    cause,
  });
}

/** An HTTP status of the Hub as an error. */
function refusal({ repository, token }: Hub, status: number): LoraError {
  if (status === 401 || status === 403) {
    const problem =
      token === null
        ? `${repository} is not public, or does not exist.`
        : `The token may not read ${repository}.`;
    return new LoraError('base', problem, {
      place: { file: repository, key: 'HF_TOKEN' },
      fix: 'Request access on its page, and set HF_TOKEN to a token that may read it.',
    });
  }
  if (status === 404) {
    return new LoraError('base', `The Hub has no model ${repository}.`, {
      fix: 'Write owner/model as on its page.',
    });
  }
  return new LoraError('base', `The Hub answered with status ${status}.`, {
    fix: 'Try again later.',
  });
}
