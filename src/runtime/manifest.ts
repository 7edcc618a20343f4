import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { hashFile } from '../common/hashFile';

const FileSchema = v.object({
  name: v.string(),
  size: v.number(),
  mtime: v.number(),
  sha256: v.string(),
});

/** runtime.json: what an installed runtime consists of, and why it is there. */
const ManifestSchema = v.object({
  source: v.picklist(['setting', 'cuda', 'python', 'wheel', 'tfjs-node']),
  tensorflow_version: v.string(),
  device: v.picklist(['cpu', 'gpu']),
  why: v.string(),
  files: v.pipe(v.array(FileSchema), v.nonEmpty()),
});

export type Manifest = v.InferOutput<typeof ManifestSchema>;
type FileFacts = v.InferOutput<typeof FileSchema>;
const MANIFEST_FILE = 'runtime.json';

/** Null where there is none, or one of another make. */
export async function readManifest(folder: string): Promise<Manifest | null> {
  try {
    const parsed = v.safeParse(
      ManifestSchema,
      JSON.parse(await readFile(path.join(folder, MANIFEST_FILE), 'utf8')),
    );
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}

/** Into a folder that has no name yet: it is complete when it gets one. */
export const writeManifest = (folder: string, manifest: Manifest): Promise<void> =>
  writeFile(path.join(folder, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`, {
    flush: true,
  });

export async function factsOf(
  folder: string,
  name: string,
  signal: AbortSignal,
): Promise<FileFacts> {
  return {
    name,
    ...(await sizeAndTime(path.join(folder, name))),
    sha256: await hashFile(path.join(folder, name), { signal }),
  };
}

/**
 * Whether every library still has the size and time that it had when it was installed: cheap,
 * before every run.
 */
export async function looksIntact(folder: string, manifest: Manifest): Promise<boolean> {
  const same = await Promise.all(
    manifest.files.map(async (file) => {
      const now = await sizeAndTime(path.join(folder, file.name)).catch(() => null);
      return now?.size === file.size && now.mtime === file.mtime;
    }),
  );
  return same.every(Boolean);
}

/** Whether a folder holds these very libraries, byte for byte. */
export async function holds(folder: string, manifest: Manifest): Promise<boolean> {
  const there = await readManifest(folder);
  if (!there || !(await looksIntact(folder, there))) return false;
  const same = await Promise.all(
    manifest.files.map(async ({ name, sha256 }) => {
      const recorded = there.files.find((file) => file.name === name)?.sha256;
      return (
        recorded === sha256 &&
        (await hashFile(path.join(folder, name)).catch(() => null)) === sha256
      );
    }),
  );
  return same.every(Boolean);
}

async function sizeAndTime(file: string): Promise<{ size: number; mtime: number }> {
  const { size, mtimeMs } = await stat(file); // of the file that a link leads to
  return { size, mtime: Math.floor(mtimeMs) };
}
