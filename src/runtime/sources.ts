import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import type { Env } from './exec';
import { requireSpaceForRuntime } from './installFolder';
import { linkLibrary } from './linkLibrary';
import type { Manifest } from './manifest';
import { TENSORFLOW_VERSION, type PlatformPin, type WheelsPin } from './pins';
import { findPythonTensorflow, inPackage } from './python';
import type { InstallOptions } from './runtime';
import { downloadWheel, keptWheel } from './wheel';
import { unzip } from './zip';

/** Where libtensorflow can come from. */
export interface Source {
  readonly name: Manifest['source'];
  /** The first part of the name of its folder under home; the platform follows. */
  readonly id: string;
  /**
   * Puts the libraries into an empty folder. Gives a sentence that says why this source is used;
   * null when the source is not available on this machine.
   */
  fill(folder: string, options: InstallOptions): Promise<string | null>;
}

/**
 * The sources that an installation tries, in this order: a TensorFlow that the user has installed,
 * and one that is downloaded, whose bytes are pinned.
 */
export const sourcesFor = (pin: PlatformPin, home: string, env: Env): readonly Source[] => [
  localPython(pin, env),
  pinnedWheel(pin, home, env),
];

function localPython(pin: PlatformPin, env: Env): Source {
  return {
    name: 'python',
    id: 'python',
    fill: async (folder, { signal }) => {
      const entries = Object.entries(pin.libraries);
      const found = await findPythonTensorflow(Object.keys(pin.libraries), {
        cwd: folder,
        env,
        signal,
      });
      if (!found) return null;
      await Promise.all(
        entries.map(([entry, name]) =>
          linkLibrary(inPackage(found.folder, entry), path.join(folder, name)),
        ),
      );
      return `The TensorFlow that ${found.python} has in ${found.folder} is used where it is.`;
    },
  };
}

function pinnedWheel(pin: PlatformPin, home: string, env: Env): Source {
  return {
    name: 'wheel',
    id: `tensorflow-${TENSORFLOW_VERSION}`,
    fill: async (folder, options) => {
      await fillFromWheels(folder, { pin, home, env, options });
      return `The pinned TensorFlow ${TENSORFLOW_VERSION}, installed through pip.`;
    },
  };
}

/** TensorFlow with CUDA. Gigabytes, and for NVIDIA's GPUs only: installed on request. */
export function cudaWheels(gpu: WheelsPin, home: string, env: Env): Source {
  return {
    name: 'cuda',
    id: `tensorflow-${TENSORFLOW_VERSION}-cuda`,
    fill: async (folder, options) => {
      await fillFromWheels(folder, { pin: gpu, home, env, options });
      return `The pinned TensorFlow ${TENSORFLOW_VERSION} with CUDA, installed through pip.`;
    },
  };
}

interface Download {
  readonly pin: WheelsPin;
  readonly home: string;
  readonly env: Env;
  readonly options: InstallOptions;
}

/** Unpacks the libraries from one wheel after the other, so that only one is on the disk. */
async function fillFromWheels(folder: string, { pin, home, env, options }: Download) {
  const largest = Math.max(...pin.wheels.map(({ wheel_size }) => wheel_size));
  await requireSpaceForRuntime(home, pin.unpacked_size + largest);
  const unpacked: string[] = [];
  for (const own of pin.wheels) {
    const place = path.join(folder, 'wheel');
    await mkdir(place);
    const wheel =
      (await keptWheel(home, own, options)) ?? (await downloadWheel(own, place, env, options));
    options.onProgress({ message: `Unpacking ${own.package}`, fraction: null });
    const target = (entry: string) =>
      pin.libraries[entry] === undefined ? null : path.join(folder, pin.libraries[entry]);
    unpacked.push(...(await unzip(wheel, target, options.signal)));
    await rm(place, { recursive: true });
  }
  const missing = Object.keys(pin.libraries).filter((name) => !unpacked.includes(name));
  if (missing.length > 0)
    throw new LoraError('runtime', `The wheels do not contain ${missing.join(' and ')}.`);
}

/**
 * The folder in the setting lora.runtime.path: of a TensorFlow, or of a release of libtensorflow
 * for C. Nothing is written into it.
 */
export function namedFolder(pin: PlatformPin, named: string): Source {
  return {
    name: 'setting',
    id: `setting-${createHash('sha256').update(named).digest('hex').slice(0, 8)}`,
    fill: async (folder) => {
      const files = await findLibraries(pin, named);
      await Promise.all(
        [...files].map(([name, file]) => linkLibrary(file, path.join(folder, name))),
      );
      return `The setting lora.runtime.path names ${named}.`;
    },
  };
}

/** TensorFlow's own libraries have its name. */
const isTensorflow = (library: string): boolean => library.includes('tensorflow');

/**
 * The path of each library, by its name: in a folder of libraries, of a TensorFlow or of a release
 * of libtensorflow for C. Those of others (OpenMP, the C++ library) can be missing: what was built
 * without them does not need them, or the system has them.
 *
 * @throws LoraError('runtime') when TensorFlow's own are not all there.
 */
async function findLibraries(
  pin: PlatformPin,
  named: string,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const [entry, name] of Object.entries(pin.libraries)) {
    const file = await findLibrary(named, entry, name);
    if (file !== null) found.set(name, file);
  }
  const missing = Object.values(pin.libraries).filter(
    (name) => isTensorflow(name) && !found.has(name),
  );
  if (missing.length === 0) return found;
  throw new LoraError('runtime', `it does not contain ${missing.join(' and ')}.`);
}

async function findLibrary(named: string, entry: string, name: string): Promise<string | null> {
  const inWheel = inPackage(named, entry);
  if (existsSync(inWheel)) return inWheel;
  for (const place of [named, path.join(named, 'lib')]) {
    const files = await readdir(place).catch((): string[] => []);
    const file = files.includes(name)
      ? name
      : files.find((own) => own.startsWith(releaseLibraryPrefix(name)));
    if (file !== undefined) return path.join(place, file);
  }
  return null;
}

/**
 * How a library's file name begins in a release of libtensorflow for C, where the wheel's
 * `libtensorflow_cc.` is `libtensorflow.`.
 */
const releaseLibraryPrefix = (library: string): string =>
  library.replace(/^libtensorflow_cc\..*/, 'libtensorflow.');
