import * as v from 'valibot';
import { throwIfCancelled } from '../../common/cancellation';
import { inPatience, USUAL_PATIENCE, type Patience } from '../../common/steadyBody';
import { LoraError } from '../../shared/errors';
import { bodyOf, redirectTarget, type Hub } from '../download/hubFetch';
import type { PushFile } from './pushFiles';

// The interface of the Hub for writing, as @huggingface/hub uses it (lib/create-repo.ts and
// lib/commit.ts), which would add 43 kB, compressed. Large files are sent as git-lfs does.

interface Request {
  readonly method: 'GET' | 'POST';
  /** After the Hub's address. */
  readonly path: string;
  readonly body?: string;
  readonly type?: string;
}

const JSON_TYPE = 'application/json';
const LFS_TYPE = 'application/vnd.git-lfs+json';
const LINES_TYPE = 'application/x-ndjson';
const MAX_ANSWER_BYTES = 2 ** 20;
const [FORBIDDEN, MISSING, CONFLICT]: readonly number[] = [403, 404, 409];

/** The state of a repository on the Hub. */
export interface Repository {
  readonly private: boolean;
}

/** A repository of models; null: there is none that the token can see. */
export async function findRepository(hub: Hub): Promise<Repository | null> {
  const path = `/api/models/${hub.repository}`;
  const response = await ask(hub, { method: 'GET', path });
  // without a token, and for others' private repositories, the Hub does not tell them apart
  if (response.status === MISSING || response.status === 401) {
    await response.body?.cancel();
    return null;
  }
  return answer(hub, response, v.object({ private: v.boolean() }));
}

/** @throws LoraError('base') when it is there already, or the token may not */
export async function createRepository(hub: Hub, isPrivate: boolean): Promise<void> {
  const [organization, name] = hub.repository.split('/');
  const visibility = isPrivate ? 'private' : 'public';
  const body = JSON.stringify({
    type: 'model',
    name,
    organization,
    visibility,
    private: isPrivate,
  });
  const response = await ask(hub, { method: 'POST', path: '/api/repos/create', body });
  if (response.status === CONFLICT)
    throw new LoraError('base', `${hub.repository} is on the Hub already.`, {
      fix: 'Choose another name, or add to it (--update).',
    });
  await answer(hub, response, v.unknown());
}

const PreuploadSchema = v.object({
  files: v.array(v.object({ path: v.string(), uploadMode: v.picklist(['lfs', 'regular']) })),
});

/** The paths of the files that are sent as git-lfs does. */
export async function largeFiles(
  hub: Hub,
  files: readonly PushFile[],
): Promise<ReadonlySet<string>> {
  const samples = files.map(async ({ path, size, content }) => {
    const start = await (await content()).slice(0, 512).arrayBuffer();
    return { path, size, sample: Buffer.from(start).toString('base64') };
  });
  const body = JSON.stringify({ files: await Promise.all(samples) });
  const path = `/api/models/${hub.repository}/preupload/main`;
  const response = await ask(hub, { method: 'POST', path, body });
  const { files: modes } = await answer(hub, response, PreuploadSchema);
  return new Set(modes.filter(({ uploadMode }) => uploadMode === 'lfs').map((own) => own.path));
}

const headerValue = v.pipe(v.string(), v.regex(/^[\t\x20-\x7e]*$/));
const ActionSchema = v.object({
  href: v.pipe(v.string(), v.maxLength(16_384)),
  header: v.optional(v.record(v.pipe(v.string(), v.regex(/^[\w-]+$/)), headerValue), {}),
});
const BatchSchema = v.object({
  objects: v.tuple([
    v.object({
      oid: v.string(),
      error: v.optional(v.object({ message: v.string() })),
      actions: v.optional(
        v.object({ upload: v.optional(ActionSchema), verify: v.optional(ActionSchema) }),
      ),
    }),
  ]),
});

/** Sends a large file, unless the Hub has it. */
export async function sendLarge(hub: Hub, file: PushFile, oid: string): Promise<void> {
  const body = JSON.stringify({
    operation: 'upload',
    transfers: ['basic'],
    hash_algo: 'sha_256',
    ref: { name: 'main' },
    objects: [{ oid, size: file.size }],
  });
  const path = `/${hub.repository}.git/info/lfs/objects/batch`;
  const response = await ask(hub, { method: 'POST', path, body, type: LFS_TYPE });
  const [object] = (await answer(hub, response, BatchSchema)).objects;
  if (object.oid !== oid) throw notUnderstood();
  if (object.error)
    throw new LoraError('base', `The Hub refuses ${file.path}: ${object.error.message}`);
  const { upload, verify } = object.actions ?? {};
  if (!upload) return;
  if ('chunk_size' in upload.header)
    throw new LoraError('base', `The Hub wants ${file.path} in parts, which is not supported.`, {
      fix: 'Upload it with the client of Hugging Face: hf upload.',
    });
  await put(hub, upload, file);
  if (!verify) return;
  const verified = { oid, size: file.size };
  await discard(hub, await send(hub, verify, JSON.stringify(verified)));
}

type Action = v.InferOutput<typeof ActionSchema>;

async function put(hub: Hub, { href, header }: Action, file: PushFile): Promise<void> {
  const url = redirectTarget(href, new URL(hub.endpoint), new URL(hub.endpoint));
  // at the rate below which a download counts as stalled
  const patience = {
    ...USUAL_PATIENCE,
    milliseconds: USUAL_PATIENCE.milliseconds + file.size / 32,
  };
  const body = await file.content();
  const request = { method: 'PUT', redirect: 'manual', headers: header, body } as const;
  const { ok, status, body: answered } = await reach(hub, url, request, patience);
  await answered?.cancel();
  if (ok) return;
  throw new LoraError('base', `The storage of the Hub answered with status ${status}.`, {
    fix: 'Try again later.',
  });
}

async function send(hub: Hub, { href, header }: Action, body: string): Promise<Response> {
  const origin = new URL(hub.endpoint);
  const url = redirectTarget(href, origin, origin);
  const isOwn = url.origin === origin.origin;
  const headers = { ...header, ...(isOwn && authorization(hub)), 'content-type': LFS_TYPE };
  return reach(hub, url, { method: 'POST', redirect: 'manual', headers, body });
}

/** Adds files to the main branch: the large ones, which the Hub has, by their SHA-256. */
export async function commit(
  hub: Hub,
  files: readonly PushFile[],
  { summary, large }: { readonly summary: string; readonly large: ReadonlyMap<string, string> },
): Promise<void> {
  const entries = files.map(async ({ path, size, content }) => {
    const oid = large.get(path);
    if (oid !== undefined) return { key: 'lfsFile', value: { path, algo: 'sha256', size, oid } };
    const bytes = Buffer.from(await (await content()).arrayBuffer());
    return { key: 'file', value: { path, content: bytes.toString('base64'), encoding: 'base64' } };
  });
  const header = { key: 'header', value: { summary, description: '' } };
  const lines = [header, ...(await Promise.all(entries))].map((line) => JSON.stringify(line));
  const path = `/api/models/${hub.repository}/commit/main`;
  const body = lines.join('\n');
  await answer(hub, await ask(hub, { method: 'POST', path, body, type: LINES_TYPE }), v.unknown());
}

const authorization = ({ token }: Hub) =>
  token === null ? {} : { Authorization: `Bearer ${token}` };

function ask(hub: Hub, { method, path, body, type = JSON_TYPE }: Request): Promise<Response> {
  const headers = { ...authorization(hub), accept: type === LFS_TYPE ? LFS_TYPE : JSON_TYPE };
  return reach(hub, new URL(hub.endpoint + path), {
    method,
    redirect: 'manual',
    headers: body === undefined ? headers : { ...headers, 'content-type': type },
    ...(body !== undefined && { body }),
  });
}

async function reach(
  hub: Hub,
  url: URL,
  request: RequestInit,
  patience: Patience = hub.patience ?? USUAL_PATIENCE,
): Promise<Response> {
  try {
    return await inPatience(patience, hub.signal, (signal) => fetch(url, { ...request, signal }));
  } catch (cause) {
    throwIfCancelled(hub.signal, 'The upload was cancelled.');
    throw new LoraError('base', `The Hub cannot be reached at ${url.origin}.`, {
      fix: 'Check the connection. HF_ENDPOINT names another Hub server.',
      cause,
    });
  }
}

/** Checks the status, and reads what the Hub answers. @throws LoraError('base') */
async function answer<S extends v.GenericSchema>(
  hub: Hub,
  response: Response,
  schema: S,
): Promise<v.InferOutput<S>> {
  await checkStatus(hub, response);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of bodyOf(response, hub)) {
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) throw notUnderstood();
      chunks.push(chunk);
    }
    return v.parse(schema, JSON.parse(Buffer.concat(chunks).toString()));
  } catch (error) {
    throwIfCancelled(hub.signal, 'The upload was cancelled.');
    throw error instanceof LoraError ? error : notUnderstood(error);
  }
}

async function discard(hub: Hub, response: Response): Promise<void> {
  await checkStatus(hub, response);
  await response.body?.cancel();
}

async function checkStatus({ repository }: Hub, response: Response): Promise<void> {
  const { ok, status } = response;
  if (ok) return;
  await response.body?.cancel();
  if (status === 401 || status === FORBIDDEN)
    throw new LoraError('base', `The token may not write ${repository}.`, {
      place: { file: repository, key: 'HF_TOKEN' },
      fix: 'Set HF_TOKEN to a token that may write it.',
    });
  throw new LoraError('base', `The Hub answered with status ${status}: nothing is published.`, {
    fix: 'Try again later.',
  });
}

const notUnderstood = (cause?: unknown): LoraError =>
  new LoraError('base', "The Hub's answer cannot be understood: nothing is published.", {
    fix: 'Try again later. HF_ENDPOINT names another Hub server.',
    cause,
  });
