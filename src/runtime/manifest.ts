import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { writeJson } from '../common/atomicWrite';
import { hashFile } from '../common/hashFile';

const LibrarySchema = v.object({
  name: v.string(),
  size: v.number(),
  mtime: v.number(),
  /** Absent in manifests of earlier versions. */
  ctime: v.optional(v.number()),
  sha256: v.string(),
});

/** runtime.json: the libraries of an installed runtime, and where they came from. */
const ManifestSchema = v.object({
  source: v.picklist(['setting', 'cuda', 'companion', 'python', 'mirror', 'wheel']),
  tensorflow_version: v.string(),
  device: v.picklist(['cpu', 'gpu']),
  why: v.string(),
  /** Products of bf16, by the processor that it was found on: the folder can be shared. */
  bf16_products: v.optional(v.record(v.string(), v.picklist(['fast', 'slow', 'none'])), {}),
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
  return { name, ...(await sizeAndTimes(file)), sha256: await hashFile(file, { signal }) };
}

/**
 * Whether every library is the one that was installed. Cheap enough for every run: a library is
 * read only if the system says that its file was touched (ctime, which no program can set back)
 * while its size and modification time stayed the same. It is hashed then, once.
 */
export async function isIntact(folder: string, manifest: Manifest): Promise<boolean> {
  const files: LibraryRecord[] = [];
  for (const file of manifest.files) {
    const now = await sizeAndTimes(path.join(folder, file.name)).catch(() => null);
    if (now?.size !== file.size || now.mtime !== file.mtime) return false;
    if (now.ctime !== file.ctime) {
      const sha256 = await hashFile(path.join(folder, file.name)).catch(() => null);
      if (sha256 !== file.sha256) return false;
    }
    files.push({ ...file, ctime: now.ctime });
  }
  const isTouched = files.some(({ ctime }, i) => ctime !== manifest.files[i]!.ctime);
  if (isTouched) await renewManifest(folder, { ...manifest, files });
  return true;
}

/** A folder that cannot be written keeps its manifest: the next run finds out again. */
export const renewManifest = (folder: string, manifest: Manifest): Promise<void> =>
  writeJson(path.join(folder, MANIFEST_FILE), manifest).catch(() => undefined);

/** Whether a folder holds the libraries of a manifest, byte for byte. */
export async function holdsSameLibraries(folder: string, manifest: Manifest): Promise<boolean> {
  const present = await readManifest(folder);
  if (!present || !(await isIntact(folder, present))) return false;
  const same = await Promise.all(
    manifest.files.map(async ({ name, sha256 }) => {
      const recorded = present.files.find((file) => file.name === name)?.sha256;
      if (recorded !== sha256) return false;
      return (await hashFile(path.join(folder, name)).catch(() => null)) === sha256;
    }),
  );
  return same.every(Boolean);
}

/** Of the file that a link leads to; the times in whole milliseconds. */
async function sizeAndTimes(file: string): Promise<{ size: number; mtime: number; ctime: number }> {
  const { size, mtimeMs, ctimeMs } = await stat(file);
  return { size, mtime: Math.floor(mtimeMs), ctime: Math.floor(ctimeMs) };
}
