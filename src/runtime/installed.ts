import { copyFile, readdir, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { looksIntact, readManifest, type Manifest } from './manifest';
import { BINDING_FILE } from './pins';
import type { Runtime, RuntimeOptions } from './runtime';

/**
 * The order in which sources are preferred, what was asked for before what came by itself; what the
 * setting named counts only while it names it.
 */
const PREFERRED: readonly Manifest['source'][] = ['cuda', 'python', 'wheel', 'tfjs-node'];

/** The best intact runtime under home; null where there is none. */
export async function findInstalled(
  runtime: RuntimeOptions,
  platform: string,
): Promise<Runtime | null> {
  const names = (await readdir(runtime.home).catch(() => [])).filter(
    (name) => !name.startsWith('.') && name.endsWith(`-${platform}`),
  );
  const newestFirst = names
    .sort(new Intl.Collator('en', { numeric: true }).compare)
    .reverse()
    .map((name) => path.join(runtime.home, name));
  const sources = await Promise.all(
    newestFirst.map(async (folder) => (await readManifest(folder))?.source),
  );
  for (const source of PREFERRED) {
    for (const folder of newestFirst.filter((_, i) => sources[i] === source)) {
      const found = await openInstalled(folder, runtime, platform);
      if (found) return found;
    }
  }
  return null;
}

/**
 * An installed runtime with the binding that this build ships; null where it is missing or no
 * longer what was installed.
 */
export async function openInstalled(
  folder: string,
  runtime: RuntimeOptions,
  platform: string,
): Promise<Runtime | null> {
  const manifest = await readManifest(folder);
  if (!manifest || !(await looksIntact(folder, manifest))) return null;
  const { source, tensorflow_version, device, why } = manifest;
  return {
    kind: 'tensorflow',
    source,
    folder,
    binding: await putBinding(folder, runtime.dist, platform),
    tensorflow_version,
    device,
    why,
  };
}

export const shippedBinding = (dist: string, platform: string): string =>
  path.join(dist, 'binding', platform, BINDING_FILE);

/**
 * Puts the shipped binding beside the libraries, where it looks for them, unless it is there
 * already. Gives its path.
 */
export async function putBinding(folder: string, dist: string, platform: string): Promise<string> {
  const target = path.join(folder, BINDING_FILE);
  const shipped = await readFile(shippedBinding(dist, platform)).catch((error: unknown) => {
    throw new LoraError('runtime', `This build has no binding for ${platform}.`, {
      fix: 'Run npm run build, or install the .vsix of your platform.',
      cause: error,
    });
  });
  if ((await readFile(target).catch(() => null))?.equals(shipped)) return target;
  await copyWhole(shippedBinding(dist, platform), target);
  return target;
}

/** Copies so that nobody ever sees half a file, also not one who has the old one open. */
export async function copyWhole(source: string, target: string): Promise<void> {
  const temp = `${target}.${process.pid}.tmp`;
  await copyFile(source, temp);
  await rename(temp, target);
}
