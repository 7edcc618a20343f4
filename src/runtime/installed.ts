import { createHash } from 'node:crypto';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { withRetries } from '../common/atomicWrite';
import { LoraError } from '../shared/errors';
import { isIntact, readManifest, renewManifest, type Manifest } from './manifest';
import { BINDING_FILE, bindingFiles } from './pins';
import { bf16OfProcessor, processorName, rememberBf16, type Bf16 } from './processor';
import type { Runtime, RuntimeOptions } from './runtime';
import type { TargetMachine } from './targetMachine';

/**
 * Sources in the order of preference: what the user installed on request comes first. Those of the
 * setting and of the companion are used only while these name them.
 */
const PREFERRED: readonly Manifest['source'][] = ['cuda', 'python', 'mirror', 'wheel'];

/** The preferred intact runtime under home, of some sources; null when there is none. */
export async function findInstalled(
  runtime: RuntimeOptions,
  machine: TargetMachine,
  allowed = PREFERRED,
): Promise<Runtime | null> {
  const names = (await readdir(runtime.home).catch(() => [])).filter(
    (name) => !name.startsWith('.') && name.endsWith(`-${machine.platform}`),
  );
  const newestFirst = names
    .sort(new Intl.Collator('en', { numeric: true }).compare)
    .reverse()
    .map((name) => path.join(runtime.home, name));
  const sources = await Promise.all(
    newestFirst.map(async (folder) => (await readManifest(folder))?.source),
  );
  for (const source of allowed) {
    for (const folder of newestFirst.filter((_, i) => sources[i] === source)) {
      const found = await openInstalled(folder, runtime, machine);
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
  machine: TargetMachine,
): Promise<Runtime | null> {
  const manifest = await readManifest(folder);
  if (!manifest || !(await isIntact(folder, manifest))) return null;
  const { source, tensorflow_version, device, why } = manifest;
  const binding = await putBinding(folder, runtime.dist, machine.platform);
  return {
    kind: 'tensorflow',
    source,
    folder,
    binding,
    tensorflow_version,
    device,
    bf16: await findBf16({ folder, binding, manifest, runtime, machine }),
    why,
  };
}

interface Opened {
  readonly folder: string;
  readonly binding: string;
  readonly manifest: Manifest;
  readonly runtime: RuntimeOptions;
  readonly machine: TargetMachine;
}

/**
 * What products of bf16 are on this processor: found out once, and kept. A runtime that no longer
 * works is reported where it is used.
 */
async function findBf16({ folder, binding, manifest, runtime, machine }: Opened): Promise<Bf16> {
  const name = processorName();
  const known = manifest.bf16_products[name];
  if (known !== undefined) return rememberBf16(known);
  const probed = await machine.probe(binding, runtime.dist).catch(() => null);
  if (!probed) return bf16OfProcessor();
  const bf16_products = { ...manifest.bf16_products, [name]: probed.bf16 };
  await renewManifest(folder, { ...manifest, bf16_products });
  return rememberBf16(probed.bf16);
}

/**
 * Copies this build's binding beside the libraries, where it looks for them, unless it is already
 * there. Gives its path.
 *
 * @throws LoraError('runtime') when this build has no binding for the platform.
 */
export async function putBinding(folder: string, dist: string, platform: string): Promise<string> {
  let binding = '';
  for (const name of bindingFiles(platform)) {
    const shipped = await readShipped(path.join(dist, 'binding', platform, name), platform);
    const target = path.join(folder, installedName(name, shipped, platform));
    const present = await readFile(target).catch(() => null);
    if (!present?.equals(shipped)) await writeAtomically(target, shipped);
    if (name === BINDING_FILE) binding = target;
  }
  await removeOtherBindings(binding);
  return binding;
}

async function readShipped(file: string, platform: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new LoraError('runtime', `This build has no binding for ${platform}.`, {
      fix: 'Run npm run build, or install the .vsix of your platform.',
      cause: error,
    });
  }
}

/** On Windows a binding that a run has loaded cannot be replaced: a new one gets another name. */
function installedName(name: string, bytes: Buffer, platform: string): string {
  if (!platform.startsWith('win32') || name !== BINDING_FILE) return name;
  const { name: stem, ext } = path.parse(name);
  return `${stem}-${createHash('sha256').update(bytes).digest('hex').slice(0, 8)}${ext}`;
}

/** Those of earlier builds, except on Windows those that a run has loaded. */
async function removeOtherBindings(binding: string): Promise<void> {
  const folder = path.dirname(binding);
  const { name: stem } = path.parse(BINDING_FILE);
  const others = (await readdir(folder)).filter(
    (name) => name.startsWith(stem) && name.endsWith('.node') && name !== path.basename(binding),
  );
  await Promise.all(others.map((name) => rm(path.join(folder, name)).catch(() => undefined)));
}

/** Never leaves half a file, and a process that has loaded the old one keeps it. */
async function writeAtomically(target: string, bytes: Buffer): Promise<void> {
  const temp = `${target}.${process.pid}.tmp`;
  await writeFile(temp, bytes, { mode: 0o755 });
  await withRetries(() => rename(temp, target));
}
