import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import type { Env } from './exec';
import { requireSpaceForRuntime } from './installFolder';
import type { Manifest } from './manifest';
import { TENSORFLOW_VERSION, type GpuPin, type LibrariesPin, type PlatformPin } from './pins';
import { findPythonTensorflow } from './python';
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
      const names = Object.values(pin.libraries);
      const found = await findPythonTensorflow(names, { cwd: folder, env, signal });
      if (!found) return null;
      await Promise.all(
        names.map((name) => symlink(path.join(found.folder, name), path.join(folder, name))),
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
      await requireSpaceForRuntime(home, pin.wheel_size + pin.unpacked_size);
      const wheel =
        (await keptWheel(home, pin, options)) ?? (await downloadWheel(pin, folder, env, options));
      options.onProgress({ message: 'Unpacking libtensorflow', fraction: null });
      await unpack(wheel, pin, options.signal, (name) =>
        pin.libraries[name] === undefined ? null : path.join(folder, pin.libraries[name]),
      );
      return `The pinned TensorFlow ${TENSORFLOW_VERSION}, installed through pip.`;
    },
  };
}

/** TensorFlow with CUDA. Gigabytes, and for NVIDIA's GPUs only: installed on request. */
export function cudaWheels(gpu: GpuPin, home: string, env: Env): Source {
  return {
    name: 'cuda',
    id: `tensorflow-${TENSORFLOW_VERSION}-cuda`,
    fill: async (folder, options) => {
      await requireSpaceForRuntime(
        home,
        gpu.unpacked_size + Math.max(...gpu.wheels.map(({ wheel_size }) => wheel_size)),
      );
      const unpacked: string[] = [];
      for (const pin of gpu.wheels) {
        const place = path.join(folder, 'wheel');
        await mkdir(place);
        const wheel =
          (await keptWheel(home, pin, options)) ?? (await downloadWheel(pin, place, env, options));
        options.onProgress({ message: `Unpacking ${pin.package}`, fraction: null });
        unpacked.push(
          ...(await unzip(
            wheel,
            (name) =>
              gpu.libraries[name] === undefined ? null : path.join(folder, gpu.libraries[name]),
            options.signal,
          )),
        );
        await rm(place, { recursive: true });
      }
      requireLibraries(unpacked, gpu, 'The wheels do');
      return `The pinned TensorFlow ${TENSORFLOW_VERSION} with CUDA, installed through pip.`;
    },
  };
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
      for (const place of [named, path.join(named, 'lib')]) {
        const files = await findLibraries(pin, place);
        if (files === null) continue;
        await Promise.all(
          Object.entries(files).map(([name, file]) => symlink(file, path.join(folder, name))),
        );
        return `The setting lora.runtime.path names ${named}.`;
      }
      const names = Object.values(pin.libraries).join(' and ');
      throw new LoraError('runtime', `it does not contain ${names}.`);
    },
  };
}

/**
 * How a library's file name begins in a release of libtensorflow for C, where the wheel's
 * `libtensorflow_cc.` is `libtensorflow.`.
 */
const releaseLibraryPrefix = (library: string): string =>
  library.includes('framework') ? 'libtensorflow_framework.' : 'libtensorflow.';

/** The path of each library in a folder, by the library's name; null when one is missing. */
async function findLibraries(
  pin: PlatformPin,
  folder: string,
): Promise<Record<string, string> | null> {
  const files = await readdir(folder).catch((): string[] => []);
  const found: Record<string, string> = {};
  for (const name of Object.values(pin.libraries)) {
    const releaseName = releaseLibraryPrefix(name);
    const file = files.includes(name) ? name : files.find((own) => own.startsWith(releaseName));
    if (file === undefined) return null;
    found[name] = path.join(folder, file);
  }
  return found;
}

/**
 * Unpacks a wheel: `target` gives the path for each entry, or null to skip it.
 *
 * @throws LoraError('runtime') when a pinned library is not among the unpacked entries.
 */
export async function unpack(
  wheel: string,
  pin: LibrariesPin,
  signal: AbortSignal,
  target: (name: string) => string | null,
): Promise<void> {
  requireLibraries(await unzip(wheel, target, signal), pin, `${path.basename(wheel)} does`);
}

function requireLibraries(
  unpacked: readonly string[],
  { libraries }: LibrariesPin,
  subject: string,
): void {
  const missing = Object.keys(libraries).filter((name) => !unpacked.includes(name));
  if (missing.length > 0)
    throw new LoraError('runtime', `${subject} not contain ${missing.join(' and ')}.`);
}
