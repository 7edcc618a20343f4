import { listFiles } from '@huggingface/hub';
import { throwIfCancelled } from '../../common/cancellation';
import { LoraError } from '../../shared/errors';
import type { HubFile } from './plan';

/** A repository on the Hub, and how to reach it. */
export interface Hub {
  /** The Hub's address, without a slash at its end. */
  readonly endpoint: string;
  /** owner/model */
  readonly repository: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  readonly token: string | null;
  readonly signal: AbortSignal;
}

/**
 * The files of the repository.
 * @throws LoraError('base') when the Hub refuses or cannot be reached; 'cancelled'.
 */
export async function listHubFiles(hub: Hub): Promise<HubFile[]> {
  const { endpoint, repository, revision, token, signal } = hub;
  const files: HubFile[] = [];
  try {
    const entries = listFiles({
      repo: repository,
      revision,
      hubUrl: endpoint,
      fetch: (url: Parameters<typeof fetch>[0], init?: RequestInit) =>
        fetch(url, { ...init, signal }),
      ...(token !== null && { accessToken: token }),
    });
    for await (const { type, path, size, oid, lfs } of entries) {
      if (type === 'file') {
        files.push({ path, size, oid, lfs });
      }
    }
  } catch (cause) {
    const status = (cause as { readonly statusCode?: unknown }).statusCode;
    throw typeof status === 'number' ? refusal(hub, status) : connectionError(hub, cause);
  }
  return files;
}

/**
 * Requests a file from byte `start` on. The Hub may send it from the beginning: see the status.
 * @throws LoraError('base') when the Hub refuses or cannot be reached; 'cancelled'.
 */
export async function requestHubFile(hub: Hub, file: HubFile, start: number): Promise<Response> {
  const { endpoint, repository, revision, token, signal } = hub;
  const url = `${endpoint}/${repository}/resolve/${encodeURIComponent(revision)}/${file.path}`;
  const response = await fetch(url, {
    signal,
    headers: {
      ...(start > 0 && { Range: `bytes=${start}-` }),
      ...(token !== null && { Authorization: `Bearer ${token}` }),
    },
  }).catch((cause: unknown) => {
    throw connectionError(hub, cause);
  });
  if (response.ok && response.body) {
    return response;
  }
  await response.body?.cancel();
  throw refusal(hub, response.status);
}

function connectionError({ endpoint, signal }: Hub, cause: unknown): LoraError {
  throwIfCancelled(signal, 'The download was cancelled.');
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
