import { copyFile, readdir, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { isIntact, readManifest, type Manifest } from './manifest';
import { BINDING_FILE } from './pins';
import type { Runtime, RuntimeOptions } from './runtime';

/**
 * Sources in the order of preference: what the user installed on request comes first. A runtime of
 * the setting is used only while the setting names it.
 */
const PREFERRED: readonly Manifest['source'][] = ['cuda', 'python', 'wheel'];

/** The preferred intact runtime under home; null when there is none. */
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
 * The runtime installed in a folder, with this build's binding copied beside it; null when it is
 * missing or its libraries have changed since.
 *
 * @throws LoraError('runtime') when this build has no binding for the platform.
 */
export async function openInstalled(
  folder: string,
  runtime: RuntimeOptions,
  platform: string,
): Promise<Runtime | null> {
  const manifest = await readManifest(folder);
  if (!manifest || !(await isIntact(folder, manifest))) return null;
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

/** The path of the binding in this build. */
export const shippedBinding = (dist: string, platform: string): string =>
  path.join(dist, 'binding', platform, BINDING_FILE);

/**
 * Copies this build's binding beside the libraries, where it looks for them, unless it is already
 * there. Gives its path.
 *
 * @throws LoraError('runtime') when this build has no binding for the platform.
 */
export async function putBinding(folder: string, dist: string, platform: string): Promise<string> {
  const target = path.join(folder, BINDING_FILE);
  const shipped = await readFile(shippedBinding(dist, platform)).catch((error: unknown) => {
    throw new LoraError('runtime', `This build has no binding for ${platform}.`, {
      fix: 'Run npm run build, or install the .vsix of your platform.',
      cause: error,
    });
  });
  const present = await readFile(target).catch(() => null);
  if (!present?.equals(shipped)) await copyAtomically(shippedBinding(dist, platform), target);
  return target;
}

/** Never leaves half a file, and a process that has loaded the old one keeps it. */
async function copyAtomically(source: string, target: string): Promise<void> {
  const temp = `${target}.${process.pid}.tmp`;
  await copyFile(source, temp);
  await rename(temp, target);
}
