import { listFiles, type RepoDesignation } from '@huggingface/hub';
import * as v from 'valibot';
import { throwIfCancelled } from '../../common/cancellation';
import { isDeeperThan } from '../../shared/depth';
import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import { fetchFromHub, listFetch, type Hub } from './hubFetch';
import { hasSafetensors, isOfSentences, type HubFile } from './plan';
import { Stalled } from '../../common/steadyBody';

/**
 * The files of the repository; of a model without `recursive` only those that are in no folder.
 * @throws LoraError('base') when the Hub refuses or cannot be reached; 'cancelled'.
 */
export async function listHubFiles(
  hub: Hub,
  recursive = isDataset(hub.repository),
): Promise<HubFile[]> {
  const { endpoint, repository, revision } = hub;
  const files: HubFile[] = [];
  try {
    const entries = listFiles({
      repo: repoOf(repository),
      recursive,
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

/**
 * The files of a model's repository among which there is what is wanted. Folders are looked into
 * only for a file in one, for .gguf files where there are no safetensors, and of models for
 * sentence embeddings.
 *
 * @param file The .gguf file that is wanted; null: the model.
 * @throws LoraError as `listHubFiles` does
 */
export async function listModelFiles(hub: Hub, file: string | null): Promise<HubFile[]> {
  if (file?.includes('/') === true) return listHubFiles(hub, true);
  const top = await listHubFiles(hub);
  if (file !== null) return top;
  return hasSafetensors(top) && !isOfSentences(top) ? top : listHubFiles(hub, true);
}

/** The repositories of datasets begin so. */
const DATASETS = 'datasets/';
const isDataset = (repository: string): boolean => repository.startsWith(DATASETS);
const kindOf = (repository: string) => (isDataset(repository) ? 'dataset' : 'model');
const repoOf = (repository: string): RepoDesignation =>
  isDataset(repository) ? { type: 'dataset', name: repository.slice(DATASETS.length) } : repository;

const CommitSchema = v.object({ sha: v.pipe(v.string(), v.regex(/^[0-9a-f]{40}$/)) });

/**
 * The commit that a branch or tag of a dataset is at.
 *
 * @throws LoraError('base') when the Hub refuses, cannot be reached, or has no such revision
 */
export async function revisionOf(hub: Hub): Promise<string> {
  const { endpoint, repository, revision } = hub;
  const url = `${endpoint}/api/${repository}/revision/${encodeURIComponent(revision)}`;
  const response = await listFetch(hub)(url).catch((cause: unknown) => {
    throw cause instanceof LoraError ? cause : connectionError(hub, cause);
  });
  if (!response.ok) throw refusal(hub, response.status);
  const parsed = v.safeParse(CommitSchema, await response.json().catch(() => null));
  if (parsed.success) return parsed.output.sha;
  const message = `The Hub does not say which commit ${revision} of ${repository} is.`;
  throw new LoraError('base', message, { fix: 'Try again later.', cause: parsed.issues });
}

const CONFIG = 'config.json';

/**
 * The config.json of a model that is not downloaded.
 *
 * @throws LoraError('base') when the Hub refuses, cannot be reached, or has none
 */
export async function hubConfig(hub: Hub): Promise<Readonly<Record<string, unknown>>> {
  const { endpoint, repository, revision } = hub;
  const url = `${endpoint}/${repository}/resolve/${encodeURIComponent(revision)}/${CONFIG}`;
  const response = await listFetch(hub)(url).catch((cause: unknown) => {
    throw cause instanceof LoraError ? cause : connectionError(hub, cause);
  });
  const place = { file: `${repository}/${CONFIG}` };
  if (response.status === 404)
    throw new LoraError('base', `The Hub has no ${CONFIG} of ${repository}.`, {
      place,
      fix: 'Write owner/model as on its page.',
    });
  if (!response.ok) throw refusal(hub, response.status);
  const config: unknown = await response.json().catch(() => null);
  if (isObject(config) && !isDeeperThan(config)) return config;
  throw new LoraError('base', 'The file is not a JSON object.', {
    place,
    fix: 'Choose another model.',
  });
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
  const url = `${endpoint}/${repository}/resolve/${encodeURIComponent(revision)}/${file.path.split('/').map(encodeURIComponent).join('/')}`;
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
      fix: 'Try again later. HF_ENDPOINT names another Hub server.',
      cause,
    });
  return new LoraError('base', `The Hub cannot be reached at ${endpoint}.`, {
    fix: 'Check the connection. HF_ENDPOINT names another Hub server.',
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
    return new LoraError(
      'base',
      `The Hub has no ${kindOf(repository)} ${repository.replace(DATASETS, '')}.`,
      {
        fix: `Write owner/${isDataset(repository) ? 'name' : 'model'} as on its page.`,
      },
    );
  }
  return new LoraError('base', `The Hub answered with status ${status}.`, {
    fix: 'Try again later.',
  });
}
