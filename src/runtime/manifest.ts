import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { hashFile } from '../common/hashFile';

const LibrarySchema = v.object({
  name: v.string(),
  size: v.number(),
  mtime: v.number(),
  sha256: v.string(),
});

/** runtime.json: the libraries of an installed runtime, and where they came from. */
const ManifestSchema = v.object({
  source: v.picklist(['setting', 'cuda', 'python', 'wheel', 'tfjs-node']),
  tensorflow_version: v.string(),
  device: v.picklist(['cpu', 'gpu']),
  why: v.string(),
  files: v.pipe(v.array(LibrarySchema), v.nonEmpty()),
});

export type Manifest = v.InferOutput<typeof ManifestSchema>;
type LibraryRecord = v.InferOutput<typeof LibrarySchema>;
const MANIFEST_FILE = 'runtime.json';

/** Null when there is no manifest, or one that this version does not understand. */
export async function readManifest(folder: string): Promise<Manifest | null> {
  try {
    const text = await readFile(path.join(folder, MANIFEST_FILE), 'utf8');
    const parsed = v.safeParse(ManifestSchema, JSON.parse(text));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}

/** For a temporary folder: it gets its final name when it is complete. */
export const writeManifest = (folder: string, manifest: Manifest): Promise<void> =>
  writeFile(path.join(folder, MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`, {
    flush: true,
  });

/** The manifest's record of a library in a folder. */
export async function describeLibrary(
  folder: string,
  name: string,
  signal: AbortSignal,
): Promise<LibraryRecord> {
  const file = path.join(folder, name);
  return { name, ...(await sizeAndTime(file)), sha256: await hashFile(file, { signal }) };
}

/**
 * Whether every library has the size and modification time that it was installed with: cheap enough
 * for every run.
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

/** Whether a folder holds the libraries of a manifest, byte for byte. */
export async function holdsSameLibraries(folder: string, manifest: Manifest): Promise<boolean> {
  const present = await readManifest(folder);
  if (!present || !(await looksIntact(folder, present))) return false;
  const same = await Promise.all(
    manifest.files.map(async ({ name, sha256 }) => {
      const recorded = present.files.find((file) => file.name === name)?.sha256;
      if (recorded !== sha256) return false;
      return (await hashFile(path.join(folder, name)).catch(() => null)) === sha256;
    }),
  );
  return same.every(Boolean);
}

/** Of the file that a link leads to; the time in whole milliseconds. */
async function sizeAndTime(file: string): Promise<{ size: number; mtime: number }> {
  const { size, mtimeMs } = await stat(file);
  return { size, mtime: Math.floor(mtimeMs) };
}
