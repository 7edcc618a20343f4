import { readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { throwIfCancelled } from '../common/cancellation';
import { LoraError } from '../shared/errors';
import { companionSource } from './companion';
import { INSTALLATION_CANCELLED } from './exec';
import { inTemporaryFolder, moveIntoPlace, removeAllExcept } from './installFolder';
import { openInstalled, putBinding } from './installed';
import { describeLibrary, writeManifest, type Manifest } from './manifest';
import type { LibrariesPin } from './pins';
import { processorName } from './processor';
import {
  wasmRuntimeFor,
  WASM_SLOWNESS,
  type InstallOptions,
  type Runtime,
  type RuntimeOptions,
} from './runtime';
import { sourcesFor, type Source } from './sources';
import { thisMachine, type TargetMachine } from './targetMachine';
import { WrongFileError } from './wheel';

/**
 * Installs a runtime: from the companion extension if there is one, else from the first source that
 * works: the mirror, a local Python's TensorFlow, the pinned wheel. Gives WebAssembly on a platform
 * without libtensorflow; on the others, falling back to it is the caller's choice. An incomplete
 * installation is never found.
 *
 * @throws LoraError('runtime') with the failure of each source, 'disk' or 'cancelled';
 *   WrongFileError, after which no other source is tried.
 */
export async function installRuntime(
  runtime: RuntimeOptions,
  options: InstallOptions,
  machine = thisMachine(),
): Promise<Runtime> {
  const { pin, platform, env } = machine;
  if (!pin) return wasmRuntimeFor(platform);
  const { companion } = runtime;
  if (companion) {
    const source = await companionSource(companion, pin, platform);
    return (await installFrom({ source, pin, runtime, options, machine }))!; // always available
  }
  const failures: LoraError[] = [];
  for (const source of sourcesFor(pin, runtime, env)) {
    try {
      const installed = await installFrom({ source, pin, runtime, options, machine });
      if (installed) return installed;
    } catch (error) {
      throwIfCancelled(options.signal, INSTALLATION_CANCELLED);
      const failure = LoraError.from(error, 'runtime');
      if (failure.area === 'disk' || failure instanceof WrongFileError) throw failure;
      options.log(`${source.name}: ${failure.message}`);
      failures.push(failure);
    }
  }
  throw allFailed(failures);
}

function allFailed(failures: readonly LoraError[]): LoraError {
  const messages = failures.map(({ message }) => message);
  const fixes = failures.flatMap(({ fix }) => fix ?? []);
  const fallback = `WebAssembly needs no installation and trains ${WASM_SLOWNESS}.`;
  return new LoraError('runtime', ['No runtime could be installed.', ...messages].join(' '), {
    fix: [...fixes, fallback].join(' '),
  });
}

/** One source's libraries, to be installed on a machine. */
export interface Installation {
  readonly source: Source;
  readonly pin: LibrariesPin;
  readonly runtime: RuntimeOptions;
  readonly options: InstallOptions;
  readonly machine: TargetMachine;
}

/**
 * Fills a temporary folder from the source, checks in a separate process that the libraries load,
 * then gives the folder its name. Null when the source is not available on this machine.
 *
 * @throws LoraError('runtime' | 'disk' | 'cancelled'), or an error of the source.
 */
export async function installFrom(installation: Installation): Promise<Runtime | null> {
  const { source, runtime, machine } = installation;
  const folder = path.join(runtime.home, `${source.id}-${machine.platform}`);
  const isFilled = await inTemporaryFolder(runtime.home, async (temp) => {
    const manifest = await fillFolder(temp, installation);
    if (manifest === null) return false;
    throwIfCancelled(installation.options.signal, INSTALLATION_CANCELLED);
    await moveIntoPlace(temp, folder, manifest);
    return true;
  });
  return isFilled ? openInstalled(folder, runtime, machine) : null;
}

async function fillFolder(
  temp: string,
  { source, pin, runtime, options, machine }: Installation,
): Promise<Manifest | null> {
  const { signal, onProgress } = options;
  const why = await source.fill(temp, options);
  if (why === null) return null;
  const libraries = Object.values(pin.libraries);
  await removeAllExcept(libraries, temp); // the wheel or archive that they came in
  onProgress({ message: 'Checking libtensorflow', fraction: null });
  const present = await readdir(temp);
  const files: Manifest['files'] = [];
  // one after the other: they are gigabytes
  for (const name of libraries.filter((own) => present.includes(own)))
    files.push(await describeLibrary(temp, name, signal));
  await requirePinned(temp, files, source);
  const binding = await putBinding(temp, runtime.dist, machine.platform);
  const probed = await saying(
    (seconds) =>
      onProgress({
        message: `Checking libtensorflow: a virus scanner may read it first (${seconds} s so far)`,
        fraction: null,
      }),
    () => machine.probe(binding, runtime.dist, { signal }),
  );
  const { bf16, ...found } = probed;
  const bf16_products = { [processorName()]: bf16 };
  const manifest = { source: source.name, ...found, why, bf16_products, files };
  await writeManifest(temp, manifest);
  return manifest;
}

const SAY_SECONDS = 10;

/** Does what may take minutes, and says meanwhile for how long it has been going on. */
async function saying<T>(say: (seconds: number) => void, work: () => Promise<T>): Promise<T> {
  let seconds = 0;
  const timer = setInterval(() => say((seconds += SAY_SECONDS)), SAY_SECONDS * 1000);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

/** @throws WrongFileError that names the library which is not the pinned one: it is not loaded. */
async function requirePinned(
  folder: string,
  files: Manifest['files'],
  { pinned }: Source,
): Promise<void> {
  if (!pinned) return;
  for (const { name, sha256 } of files) {
    const expected = pinned.sha256[name];
    if (sha256 === expected) continue;
    const place = await realpath(path.join(folder, name));
    throw new WrongFileError(
      `${place} is damaged or not the expected file: it has sha256 ${sha256}, expected ${expected ?? 'none'}.`,
      pinned.fix,
    );
  }
}
