import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { withRetries } from '../common/atomicWrite';
import { LoraError } from '../shared/errors';
import type { Env } from './exec';
import { requireSpaceForRuntime } from './installFolder';
import { linkLibrary } from './linkLibrary';
import type { Manifest } from './manifest';
import { fetchWheel, type MirroredWheel } from './mirror';
import { TENSORFLOW_VERSION, type PlatformPin, type WheelPin, type WheelsPin } from './pins';
import { findPythonTensorflow, inPackage } from './python';
import type { InstallOptions, RuntimeOptions } from './runtime';
import { downloadWheel, keptWheel } from './wheel';
import { unzip } from './zip';

/** Where libtensorflow can come from. */
export interface Source {
  readonly name: Manifest['source'];
  /** The first part of the name of its folder under home; the platform follows. */
  readonly id: string;
  /** What its libraries must be, unless they come from checked wheels or are the user's own. */
  readonly pinned?: PinnedLibraries;
  /**
   * Puts the libraries into an empty folder. Gives a sentence that says why this source is used;
   * null when the source is not available on this machine.
   */
  fill(folder: string, options: InstallOptions): Promise<string | null>;
}

/** The SHA-256 of each library by its name, and what to do if one has another. */
export interface PinnedLibraries {
  readonly sha256: Readonly<Record<string, string>>;
  readonly fix: string;
}

/**
 * The sources that an installation tries, in this order: the mirror that the user names, a
 * TensorFlow that the user has installed, and what pip downloads. The bytes of the first and the
 * last are pinned.
 */
export const sourcesFor = (
  pin: PlatformPin,
  { home, url }: Pick<RuntimeOptions, 'home' | 'url'>,
  env: Env,
): readonly Source[] => [
  ...(url ? [mirrored(pin, home, url)] : []),
  localPython(pin, env),
  pinnedWheel(pin, home, env),
];

const fromMirror =
  (mirror: string, home: string): GetWheel =>
  async (pin, _, options) =>
    fetchWheel(pin, { mirror, home, options });

function mirrored(pin: PlatformPin, home: string, mirror: string): Source {
  return {
    name: 'mirror',
    id: `tensorflow-${TENSORFLOW_VERSION}`,
    fill: async (folder, options) => {
      await fillFromWheels(folder, { pin, home, fetch: fromMirror(mirror, home), options });
      return `The pinned TensorFlow ${TENSORFLOW_VERSION}, from ${mirror}, which the setting lora.runtime.url names.`;
    },
  };
}

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
      await fillFromWheels(folder, { pin, home, fetch: throughPip(env), options });
      return `The pinned TensorFlow ${TENSORFLOW_VERSION}, installed through pip.`;
    },
  };
}

/**
 * TensorFlow with CUDA. Gigabytes, and for NVIDIA's GPUs only: installed on request, from the
 * mirror if the user names one, else through pip.
 */
export function cudaWheels(
  gpu: WheelsPin,
  { home, url }: Pick<RuntimeOptions, 'home' | 'url'>,
  env: Env,
): Source {
  const fetch = url ? fromMirror(url, home) : throughPip(env);
  const origin = url
    ? `from ${url}, which the setting lora.runtime.url names`
    : 'installed through pip';
  return {
    name: 'cuda',
    id: `tensorflow-${TENSORFLOW_VERSION}-cuda`,
    fill: async (folder, options) => {
      await fillFromWheels(folder, { pin: gpu, home, fetch, options });
      return `The pinned TensorFlow ${TENSORFLOW_VERSION} with CUDA, ${origin}.`;
    },
  };
}

/** Gets a wheel that is not kept; `folder` is empty and removed afterwards. */
type GetWheel = (pin: WheelPin, folder: string, options: InstallOptions) => Promise<MirroredWheel>;

const throughPip =
  (env: Env): GetWheel =>
  async (pin, folder, options) => ({
    file: await downloadWheel(pin, folder, env, options),
    isOwn: true,
  });

interface Download {
  readonly pin: WheelsPin;
  readonly home: string;
  readonly fetch: GetWheel;
  readonly options: InstallOptions;
}

/** Unpacks the libraries from one wheel after the other, so that only one is on the disk. */
async function fillFromWheels(folder: string, { pin, home, fetch, options }: Download) {
  const largest = Math.max(...pin.wheels.map(({ wheel_size }) => wheel_size));
  await requireSpaceForRuntime(home, pin.unpacked_size + largest);
  const unpacked: string[] = [];
  for (const own of pin.wheels) {
    const place = path.join(folder, 'wheel');
    await mkdir(place);
    const kept = await keptWheel(home, own, options);
    const wheel = kept ? { file: kept, isOwn: false } : await fetch(own, place, options);
    options.onProgress({ message: `Unpacking ${own.package}`, fraction: null });
    const target = (entry: string) =>
      pin.libraries[entry] === undefined ? null : path.join(folder, pin.libraries[entry]);
    unpacked.push(...(await unzip(wheel.file, target, options.signal)));
    if (wheel.isOwn) await withRetries(() => rm(wheel.file));
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
