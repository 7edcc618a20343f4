import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import type { Env } from './exec';
import { checkRoom } from './installFolder';
import type { Manifest } from './manifest';
import { TENSORFLOW_VERSION, type GpuPin, type LibrariesPin, type PlatformPin } from './pins';
import { findPythonTensorflow } from './python';
import { downloadTfjsLibraries, plainName, tfjsDownloadUrl } from './tfjsDownload';
import type { InstallOptions } from './runtime';
import { downloadWheel, keptWheel } from './wheel';
import { unzip } from './zip';

/** A place that libtensorflow can come from. */
export interface Source {
  readonly name: Manifest['source'];
  /** Names its folder under home, before the platform. */
  readonly id: string;
  /**
   * Puts the libraries into an empty folder and says why this source, in a sentence; null where it
   * is not open here.
   */
  fill(folder: string, options: InstallOptions): Promise<string | null>;
}

/** What an installation tries, in this order. */
export const sourcesFor = (pin: PlatformPin, home: string, env: Env): readonly Source[] => [
  localPython(pin, env),
  pinnedWheel(pin, home, env),
  tfjsNodes(pin, env),
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
      await checkRoom(home, pin.wheel_size + pin.unpacked_size);
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

/** Gigabytes, and for NVIDIA's GPUs only: nobody gets it unasked. */
export function cudaWheels(gpu: GpuPin, home: string, env: Env): Source {
  return {
    name: 'cuda',
    id: `tensorflow-${TENSORFLOW_VERSION}-cuda`,
    fill: async (folder, options) => {
      await checkRoom(
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
      checkAll(unpacked, gpu, 'The wheels do');
      return `The pinned TensorFlow ${TENSORFLOW_VERSION} with CUDA, installed through pip.`;
    },
  };
}

function tfjsNodes(pin: PlatformPin, env: Env): Source {
  return {
    name: 'tfjs-node',
    id: 'tfjs-node',
    fill: async (folder, options) => {
      await downloadTfjsLibraries(
        tfjsDownloadUrl(pin.tfjs_archive, env),
        Object.values(pin.libraries),
        folder,
        options,
      );
      return 'The older libtensorflow that tfjs-node itself downloads, because pip could not bring a newer one.';
    },
  };
}

/**
 * What the setting lora.runtime.path names: a TensorFlow's folder or a release of libtensorflow for
 * C. Nothing is written into it.
 */
export function namedFolder(pin: PlatformPin, named: string): Source {
  return {
    name: 'setting',
    id: `setting-${createHash('sha256').update(named).digest('hex').slice(0, 8)}`,
    fill: async (folder) => {
      for (const place of [named, path.join(named, 'lib')]) {
        const files = await readdir(place).catch((): string[] => []);
        const fileOf = (name: string) =>
          files.includes(name) ? name : files.find((file) => file.startsWith(plainName(name)));
        const links = Object.values(pin.libraries).map((name) => ({ name, file: fileOf(name) }));
        if (!links.every(({ file }) => file !== undefined)) continue;
        await Promise.all(
          links.map(({ name, file }) => symlink(path.join(place, file!), path.join(folder, name))),
        );
        return `The setting lora.runtime.path names ${named}.`;
      }
      throw new LoraError(
        'runtime',
        `it does not hold ${Object.values(pin.libraries).join(' and ')}.`,
      );
    },
  };
}

/**
 * Unpacks the libraries and whatever else of the wheel `target` wants. Errors: LoraError('runtime')
 * when a library is not in it.
 */
export async function unpack(
  wheel: string,
  pin: LibrariesPin,
  signal: AbortSignal,
  target: (name: string) => string | null,
): Promise<void> {
  checkAll(await unzip(wheel, target, signal), pin, `${path.basename(wheel)} does`);
}

function checkAll(unpacked: readonly string[], { libraries }: LibrariesPin, what: string): void {
  const missing = Object.keys(libraries).filter((name) => !unpacked.includes(name));
  if (missing.length > 0)
    throw new LoraError('runtime', `${what} not hold ${missing.join(' and ')}.`);
}
