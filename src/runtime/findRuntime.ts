import { homedir } from 'node:os';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { companionSource } from './companion';
import { findInstalled, openInstalled } from './installed';
import { installFrom } from './installRuntime';
import type { PlatformPin } from './pins';
import { wasmRuntimeFor, type InstallOptions, type Runtime, type RuntimeOptions } from './runtime';
import { namedFolder } from './sources';
import { thisMachine, type TargetMachine } from './targetMachine';

export { wasmRuntime } from './runtime';
export type { RuntimeOptions } from './runtime';

/** LORA_RUNTIME_HOME, or a cache folder in the user's home. */
export const defaultRuntimeHome = (): string =>
  process.env['LORA_RUNTIME_HOME'] || path.join(homedir(), '.cache', 'lora-workbench', 'runtime');

/**
 * The runtime that a run would use now: the setting's, else TensorFlow with CUDA, else that of the
 * companion extension, else another that is installed; null when one has to be installed first. A
 * companion is checked when it is used for the first time, which `options` reports.
 *
 * @throws LoraError('runtime') when the setting names a folder that does not work; WrongFileError
 *   when the companion is not the pinned one: nothing replaces it without a word.
 */
export async function findRuntime(
  runtime: RuntimeOptions,
  machine = thisMachine(),
  options: InstallOptions = UNATTENDED,
): Promise<Runtime | null> {
  const { pin, platform } = machine;
  if (!pin) return wasmRuntimeFor(platform);
  if (runtime.path)
    return findNamed(path.resolve(runtime.path), { pin, runtime, machine, options });
  if (!runtime.companion) return findInstalled(runtime, machine);
  const onGpu = await findInstalled(runtime, machine, ['cuda']);
  if (onGpu) return onGpu;
  const source = await companionSource(path.resolve(runtime.companion), pin, platform);
  const folder = path.join(runtime.home, `${source.id}-${platform}`);
  const known = await openInstalled(folder, runtime, machine);
  return known ?? (await installFrom({ source, pin, runtime, options, machine }));
}

const UNATTENDED: InstallOptions = {
  signal: new AbortController().signal,
  onProgress: () => undefined,
  log: () => undefined,
};

interface Search {
  readonly pin: PlatformPin;
  readonly runtime: RuntimeOptions;
  readonly machine: TargetMachine;
  readonly options: InstallOptions;
}

/** Links to the setting's folder. It is checked again only when its libraries have changed. */
async function findNamed(named: string, search: Search): Promise<Runtime | null> {
  const { pin, runtime, machine } = search;
  const source = namedFolder(pin, named);
  const folder = path.join(runtime.home, `${source.id}-${machine.platform}`);
  try {
    const known = await openInstalled(folder, runtime, machine);
    return known ?? (await installFrom({ source, ...search }));
  } catch (error) {
    const { message } = LoraError.from(error, 'runtime');
    throw new LoraError(
      'runtime',
      `The folder in the setting lora.runtime.path cannot be used: ${message}`,
      {
        place: { file: named },
        cause: error,
        fix: 'Name a folder that holds libtensorflow_cc or libtensorflow, and libtensorflow_framework, or clear the setting.',
      },
    );
  }
}
