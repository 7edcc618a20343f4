import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import type { Runtime } from './types';

/** runtime.json: what an installed runtime consists of. Sizes and times tell cheaply whether it is still what was checked. */
const ManifestSchema = v.object({
  source: v.picklist(['python', 'wheel', 'tfjs-node']),
  tensorflow_version: v.string(),
  device: v.picklist(['cpu', 'gpu']),
  why: v.string(),
  files: v.array(v.object({ name: v.string(), size: v.number(), mtime: v.number() })),
});

export type Manifest = v.InferOutput<typeof ManifestSchema>;
export const MANIFEST_FILE = 'runtime.json';

export async function readManifest(folder: string): Promise<Manifest | null> {
  try {
    const parsed = v.safeParse(ManifestSchema, JSON.parse(await readFile(path.join(folder, MANIFEST_FILE), 'utf8')));
    return parsed.success ? parsed.output : null;
  } catch {
    return null;
  }
}

export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  await mkdir(folder, { recursive: true });
  const temp = path.join(folder, `.${MANIFEST_FILE}.${process.pid}`);
  await writeFile(temp, `${JSON.stringify(manifest, null, 2)}\n`, { flush: true });
  await rename(temp, path.join(folder, MANIFEST_FILE));
}

export async function fileFacts(folder: string, name: string): Promise<Manifest['files'][number]> {
  const { size, mtimeMs } = await stat(path.join(folder, name)); // follows a link to a Python's library
  return { name, size, mtime: Math.floor(mtimeMs) };
}

/** Whether every library is still the file that was checked when it was installed. */
export async function isIntact(folder: string, manifest: Manifest): Promise<boolean> {
  const same = await Promise.all(manifest.files.map(async (file) => {
    const now = await fileFacts(folder, file.name).catch(() => null);
    return now !== null && now.size === file.size && now.mtime === file.mtime;
  }));
  return manifest.files.length > 0 && same.every(Boolean);
}

export function runtimeOf(folder: string, binding: string, manifest: Manifest): Runtime {
  const { source, tensorflow_version, device, why } = manifest;
  return { kind: 'tensorflow', source, folder, binding, tensorflow_version, device, why };
}
