import { homedir } from 'node:os';
import path from 'node:path';
import { pathExists } from '../../common/fileStatus';
import { listFolder, MAX_BYTES, readTextFile } from '../../common/regularFile';
import { isHubName } from './hubName';

/** What the location of the Hub cache depends on. */
export interface CacheEnvironment {
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The folder in which the Hugging Face client keeps its downloads. */
export function hubCacheFolder({ home, env }: CacheEnvironment): string {
  const caches = env['XDG_CACHE_HOME'] ?? path.join(home, '.cache');
  return (
    env['HF_HUB_CACHE'] ?? path.join(env['HF_HOME'] ?? path.join(caches, 'huggingface'), 'hub')
  );
}

/** The snapshot of the main branch, else any other; undefined: none. */
export async function currentSnapshot(model: string): Promise<string | undefined> {
  const snapshots = (await listFolder(path.join(model, 'snapshots')).catch(() => []))
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
  const main = await readTextFile(path.join(model, 'refs', 'main'), {
    maxBytes: MAX_BYTES.smallRecord,
  }).catch(() => '');
  const chosen = snapshots.includes(main.trim()) ? main.trim() : snapshots.at(-1);
  return chosen && path.join(model, 'snapshots', chosen);
}

const HERE: CacheEnvironment = { home: homedir(), env: process.env };

/**
 * Where the base that an adapter names is on this disk: an absolute path that exists, or a name on
 * the Hub whose model is in the Hub cache. Null: it is not here.
 */
export async function namedBasePath(
  name: string,
  environment: CacheEnvironment = HERE,
): Promise<string | null> {
  if (path.isAbsolute(name)) return (await pathExists(name)) ? name : null;
  if (!isHubName(name) && !/^[A-Za-z0-9][\w.-]*$/.test(name)) return null;
  const folder = `models--${name.replaceAll('/', '--')}`;
  const snapshot = await currentSnapshot(path.join(hubCacheFolder(environment), folder));
  return snapshot !== undefined && (await pathExists(path.join(snapshot, 'config.json')))
    ? snapshot
    : null;
}
