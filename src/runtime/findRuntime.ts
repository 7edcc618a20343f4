import { homedir } from 'node:os';
import path from 'node:path';
import { LoraError } from '../shared/errors';
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
 * The runtime that a run would use now: the setting's, else the installed one; null when one has to
 * be installed first.
 *
 * @throws LoraError('runtime') when the setting names a folder that does not work.
 */
export async function findRuntime(
  runtime: RuntimeOptions,
  machine = thisMachine(),
): Promise<Runtime | null> {
  const { pin, platform } = machine;
  if (!pin) return wasmRuntimeFor(platform);
  if (!runtime.path) return findInstalled(runtime, machine);
  return findNamed(path.resolve(runtime.path), pin, runtime, machine);
}

const UNATTENDED: InstallOptions = {
  signal: new AbortController().signal,
  onProgress: () => undefined,
  log: () => undefined,
};

/** Links to the setting's folder. It is checked again only when its libraries have changed. */
async function findNamed(
  named: string,
  pin: PlatformPin,
  runtime: RuntimeOptions,
  machine: TargetMachine,
): Promise<Runtime | null> {
  const source = namedFolder(pin, named);
  const folder = path.join(runtime.home, `${source.id}-${machine.platform}`);
  try {
    const known = await openInstalled(folder, runtime, machine);
    return known ?? (await installFrom({ source, pin, runtime, options: UNATTENDED, machine }));
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
