import { LoraError } from '../../shared/errors';
import type { Hub } from '../download/hubFetch';
import {
  commit,
  createRepository,
  findRepository,
  largeFiles,
  sendLarge,
  type Repository,
} from './hubApi';
import { pushFiles, type PushFile } from './pushFiles';

/** Which adapter goes where. */
export interface PushOptions {
  readonly hub: Hub;
  /** A folder of PEFT. */
  readonly adapter: string;
  /** The base's name on the Hub; null: as the adapter names it. */
  readonly base_name: string | null;
  /** Anyone can see it. */
  readonly public: boolean;
  /** Add to a repository that is there. */
  readonly update: boolean;
  readonly warn: (message: string) => void;
  readonly onProgress: (phase: string, fraction: number) => void;
}

/** What is uploaded. */
export interface PushPlan {
  readonly repository: string;
  readonly url: string;
  readonly private: boolean;
  /** It is there already. */
  readonly exists: boolean;
  readonly base: string;
  readonly files: readonly { readonly path: string; readonly size: number }[];
  readonly left_out: readonly string[];
}

/** Says what would be uploaded. @throws LoraError as `pushAdapter` does before it uploads */
export async function planPush(options: PushOptions): Promise<PushPlan> {
  return (await prepare(options)).plan;
}

/**
 * Uploads an adapter to a repository of the Hub, which is created if it is missing.
 *
 * @throws LoraError when the adapter or the repository cannot be used, the Hub refuses or cannot be
 *   reached, or the upload is cancelled
 */
export async function pushAdapter(options: PushOptions): Promise<PushPlan> {
  const { hub, onProgress } = options;
  const { plan, files } = await prepare(options);
  if (!plan.exists) await create(hub, plan.private);
  const large = await sendLargeFiles(hub, files, onProgress);
  await commit(hub, files, { summary: 'Upload a LoRA adapter', large });
  return plan;
}

async function prepare(options: PushOptions) {
  const { hub, adapter, base_name, update, warn } = options;
  if (hub.token === null)
    throw new LoraError('base', 'The Hub needs a token to upload.', {
      place: { file: hub.repository, key: 'HF_TOKEN' },
      fix: 'Set HF_TOKEN to a token that may write.',
    });
  const { files, left_out, base, warnings } = await pushFiles(adapter, base_name);
  for (const warning of warnings) warn(warning);
  const found = await findRepository(hub);
  if (found && !update)
    throw new LoraError('base', `${hub.repository} is on the Hub already.`, {
      fix: 'Choose another name, or add to it (--update).',
    });
  if (found) checkVisibility(found, options);
  const plan: PushPlan = {
    repository: hub.repository,
    url: `${hub.endpoint}/${hub.repository}`,
    private: found?.private ?? !options.public,
    exists: found !== null,
    base,
    files: files.map(({ path, size }) => ({ path, size })),
    left_out,
  };
  return { plan, files };
}

/** Nothing becomes public because its repository is. */
function checkVisibility(found: Repository, { hub, public: isPublic }: PushOptions): void {
  if (found.private || isPublic) return;
  throw new LoraError('base', `${hub.repository} is public.`, {
    fix: 'Confirm that anyone may see the adapter (--public), or choose another name.',
  });
}

async function create(hub: Hub, isPrivate: boolean): Promise<void> {
  await createRepository(hub, isPrivate);
  const created = await findRepository(hub);
  if (created?.private === isPrivate || !isPrivate) return;
  throw new LoraError(
    'base',
    `The Hub has not made ${hub.repository} private: nothing is uploaded.`,
  );
}

/** The SHA-256 of the files that are sent as git-lfs does. */
async function sendLargeFiles(
  hub: Hub,
  files: readonly PushFile[],
  onProgress: PushOptions['onProgress'],
): Promise<ReadonlyMap<string, string>> {
  const modes = await largeFiles(hub, files);
  const chosen = files.filter(({ path, size }) => modes.has(path) || size > MAX_COMMITTED_BYTES);
  const sent = new Map<string, string>();
  for (const [i, file] of chosen.entries()) {
    onProgress('uploading', i / chosen.length);
    const oid = await file.sha256();
    await sendLarge(hub, file, oid);
    sent.set(file.path, oid);
  }
  onProgress('uploading', 1);
  return sent;
}

/** The Hub takes no larger files in a commit itself. */
const MAX_COMMITTED_BYTES = 10e6;
