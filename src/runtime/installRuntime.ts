import { mkdir, mkdtemp, readdir, rename, rm, stat, statfs, symlink } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { currentBinding, findInstalled, wasmRuntime, type RuntimeOptions } from './findRuntime';
import { fileFacts, writeManifest, type Manifest } from './manifest';
import { PLATFORM_PINS, platformKey, TENSORFLOW_VERSION, TFJS_LIBTENSORFLOW, type PlatformPin } from './pins';
import { probe } from './probe';
import { findPythonTensorflow } from './python';
import { downloadTfjsLibraries, tfjsDownloadUrl } from './tfjsDownload';
import type { InstallOptions, Runtime } from './types';
import { checkWheel, downloadWheel } from './wheel';
import { unzip } from './zip';

type Source = Manifest['source'];

/** A way to fill a folder with the platform's libraries; false: this way is not open here. */
interface Way {
  readonly source: Source;
  readonly id: string;
  readonly why: string;
  fill(folder: string, options: InstallOptions): Promise<boolean>;
}

/** Installs a runtime from the first source that works: a Python's TensorFlow, the pinned wheel, tfjs-node's own download; else wasm.
 *  What is installed was loaded and computed with first; nothing half-made is ever found by `findRuntime`. */
export async function installRuntime(runtime: RuntimeOptions, options: InstallOptions): Promise<Runtime> {
  const pin = PLATFORM_PINS[platformKey()];
  if (!pin) return wasmRuntime(`there is no libtensorflow for ${platformKey()}`);
  await mkdir(runtime.home, { recursive: true });
  await removeAbandoned(runtime.home);
  const failures: string[] = [];
  for (const way of waysFor(pin, runtime)) {
    try {
      const installed = await installBy(way, pin, runtime, options);
      if (installed) return installed;
    } catch (error) {
      if (error instanceof LoraError && error.area === 'cancelled') throw error;
      const text = error instanceof Error ? error.message : String(error);
      options.log(`${way.source}: ${text}`);
      failures.push(text);
    }
  }
  throw new LoraError('runtime', `No runtime could be installed. ${failures.join(' ')}`, { fix: 'See the log for each attempt. Without a runtime, set lora.runtime.path or use the slow WebAssembly backend.' });
}

/** The sources in the order in which they are tried. */
export function waysFor(pin: PlatformPin, { home }: RuntimeOptions): readonly Way[] {
  const libraries = Object.values(pin.libraries);
  const archive = TFJS_LIBTENSORFLOW[platformKey()];
  const ways: Way[] = [
    {
      source: 'python', id: 'python', why: 'A local Python has this TensorFlow; its libraries are used where they are.',
      fill: async (folder, { signal, log }) => {
        const found = await findPythonTensorflow(libraries, { signal });
        if (found === null) return false;
        log(`TensorFlow of a local Python: ${found}`);
        await Promise.all(libraries.map((name) => symlink(path.join(found, name), path.join(folder, name))));
        return true;
      },
    },
    {
      source: 'wheel', id: `tensorflow-${TENSORFLOW_VERSION}`, why: `The pinned TensorFlow ${TENSORFLOW_VERSION}, installed through pip.`,
      fill: async (folder, options) => {
        await checkRoom(home, pin.wheel_size + pin.unpacked_size);
        const wheel = await keptWheel(home, pin, options) ?? await downloadWheel(pin, folder, options);
        options.onProgress({ message: 'Unpacking libtensorflow', fraction: null });
        const count = await unzip(wheel, (name) => (pin.libraries[name] === undefined ? null : path.join(folder, pin.libraries[name])), options.signal);
        if (count !== libraries.length) throw new LoraError('runtime', `${path.basename(wheel)} does not hold ${libraries.join(' and ')}.`);
        await removeAllBut(folder, libraries);
        return true;
      },
    },
  ];
  if (archive !== undefined) {
    ways.push({
      source: 'tfjs-node', id: 'tfjs-node-2.9.1', why: 'tfjs-node\'s own libtensorflow 2.9.1, because pip could not bring a newer one.',
      fill: async (folder, options) => {
        await downloadTfjsLibraries(tfjsDownloadUrl(archive, process.env), libraries, folder, options);
        await removeAllBut(folder, libraries);
        return true;
      },
    });
  }
  return ways;
}

/** Fills a temporary folder, proves that it works, then gives it its name. */
async function installBy(way: Way, pin: PlatformPin, runtime: RuntimeOptions, options: InstallOptions): Promise<Runtime | null> {
  const temp = await mkdtemp(path.join(runtime.home, `.install-${process.pid}-`));
  try {
    if (!await way.fill(temp, options)) return null;
    options.onProgress({ message: 'Checking libtensorflow', fraction: null });
    const facts = await probe(await currentBinding(temp, runtime.dist), runtime.dist, options.signal);
    const files = await Promise.all(Object.values(pin.libraries).map((name) => fileFacts(temp, name)));
    await writeManifest(temp, { source: way.source, ...facts, why: way.why, files });
    options.signal.throwIfAborted();
    await takeName(temp, path.join(runtime.home, `${way.id}-${platformKey()}`));
    return await findInstalled(runtime);
  } finally {
    await rm(temp, { recursive: true, force: true });
  }
}

/** Renames; where another process was faster, or an older one is damaged, that one is moved away first. */
async function takeName(temp: string, folder: string): Promise<void> {
  const old = `${temp}-old`;
  await rename(folder, old).catch(() => undefined);
  await rename(temp, folder);
  await rm(old, { recursive: true, force: true });
}

/** A wheel that a build kept in home/wheels, if it is the pinned one. */
async function keptWheel(home: string, pin: PlatformPin, { signal, log }: InstallOptions): Promise<string | null> {
  const folder = path.join(home, 'wheels');
  const name = (await readdir(folder).catch(() => [])).find((file) => file.startsWith(`${pin.package.replace('-', '_')}-${TENSORFLOW_VERSION}-`));
  if (name === undefined) return null;
  try {
    await checkWheel(path.join(folder, name), pin, signal);
    return path.join(folder, name);
  } catch (error) {
    log(error instanceof Error ? error.message : String(error));
    return null;
  }
}

export async function checkRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  throw new LoraError('disk', `The runtime needs ${(bytes / 1e9).toFixed(1)} GB on the disk of ${folder}; ${(bavail * bsize / 1e9).toFixed(1)} GB are free.`, { fix: 'Free some room, then try again.' });
}

async function removeAllBut(folder: string, keep: readonly string[]): Promise<void> {
  const others = (await readdir(folder)).filter((name) => !keep.includes(name));
  await Promise.all(others.map((name) => rm(path.join(folder, name), { recursive: true, force: true })));
}

/** Removes what a killed installation left: temporary folders whose process is gone. */
async function removeAbandoned(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    const pid = /^\.install-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid)) && await stat(path.join(home, name)).catch(() => null)) await rm(path.join(home, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
