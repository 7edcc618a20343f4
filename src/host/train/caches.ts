import path from 'node:path';
import * as v from 'valibot';
import { listFolder, MAX_BYTES, readTextFile } from '../../common/regularFile';
import { basesIn, basesUnder, ggufCandidate, type BaseCandidate } from './baseFolder';
import { currentSnapshot, hubCacheFolder } from '../../formats/hub/hubCache';
import { walkFolders } from '../../common/walkFolders';

/** What the caches' locations depend on. */
export interface UserEnvironment {
  readonly home: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const HUB_FOLDER = /^models--(.+)$/;

/**
 * Models that the Hugging Face client has downloaded: <cache>/models--ORG--NAME/snapshots/COMMIT.
 */
export async function* hubBases({ home, env }: UserEnvironment): AsyncGenerator<BaseCandidate> {
  const cache = hubCacheFolder({ home, env });
  for (const folder of await subfolders(cache)) {
    const name = HUB_FOLDER.exec(folder)?.[1]?.replaceAll('--', '/');
    const snapshot = name && (await currentSnapshot(path.join(cache, folder)));
    if (!snapshot) continue;
    const files = (await listFolder(snapshot).catch(() => [])).map(({ name: file }) => file);
    yield* await basesIn(snapshot, files, 'hub', (file) =>
      file === snapshot ? name : `${name}/${path.basename(file)}`,
    );
  }
}

const ManifestSchema = v.object({
  layers: v.array(
    v.object({
      mediaType: v.string(),
      digest: v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/)),
    }),
  ),
});

/** Ollama's models: manifests/HOST/NAMESPACE/NAME/TAG names the blob that is the GGUF file. */
export async function* ollamaBases({ home, env }: UserEnvironment): AsyncGenerator<BaseCandidate> {
  const roots = [
    env['OLLAMA_MODELS'] ?? path.join(home, '.ollama', 'models'),
    '/usr/share/ollama/.ollama/models',
  ];
  for (const root of roots) {
    for await (const { dir, entries } of walkFolders(path.join(root, 'manifests'), {
      depth: 4,
      folders: 2_000,
    })) {
      for (const entry of entries.filter((e) => e.isFile())) {
        const digest = await modelDigest(path.join(dir, entry.name));
        const blob = digest && path.join(root, 'blobs', digest.replace(':', '-'));
        const candidate = blob
          ? await ggufCandidate(
              blob,
              ollamaName(path.relative(path.join(root, 'manifests'), dir), entry.name),
              'ollama',
            )
          : null;
        if (candidate) yield candidate;
      }
    }
  }
}

const MANIFEST = { maxBytes: MAX_BYTES.writtenByPeople };

async function modelDigest(manifest: string): Promise<string | undefined> {
  try {
    const { layers } = v.parse(ManifestSchema, JSON.parse(await readTextFile(manifest, MANIFEST)));
    return layers.find((layer) => layer.mediaType === 'application/vnd.ollama.image.model')?.digest;
  } catch {
    return undefined;
  }
}

/** HOST/library/llama3.2 and 1b as llama3.2:1b. */
function ollamaName(folder: string, tag: string): string {
  const [, namespace, ...name] = folder.split(path.sep);
  return `${[...(namespace === undefined || namespace === 'library' ? [] : [namespace]), ...name].join('/')}:${tag}`;
}

/** LM Studio's models: PUBLISHER/REPOSITORY/FILE.gguf. */
export async function* lmStudioBases({ home }: UserEnvironment): AsyncGenerator<BaseCandidate> {
  for (const root of [
    path.join(home, '.lmstudio', 'models'),
    path.join(home, '.cache', 'lm-studio', 'models'),
  ])
    yield* basesUnder(root, 'lmstudio');
}

const subfolders = async (dir: string): Promise<string[]> => {
  const entries = await listFolder(dir).catch(() => []);
  return entries
    .filter((e) => e.isDirectory())
    .map((e) => e.name)
    .sort();
};
