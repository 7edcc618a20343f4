import { homedir } from 'node:os';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { findInstalled, openInstalled } from './installed';
import { installFrom } from './installRuntime';
import { thisMachine, type Machine } from './machine';
import type { PlatformPin } from './pins';
import { namedFolder } from './sources';
import type { InstallOptions, Runtime, RuntimeOptions } from './runtime';
import { noTensorflowFor } from './wasmRuntime';

export { wasmRuntime } from './wasmRuntime';
export type { RuntimeOptions } from './runtime';

/** LORA_RUNTIME_HOME, or a cache folder under the user's home. */
export const defaultRuntimeHome = (): string =>
  process.env['LORA_RUNTIME_HOME'] || path.join(homedir(), '.cache', 'lora-workbench', 'runtime');

/**
 * The runtime that a run would use now: the setting's, else the one installed; null when one has to
 * be installed first. Errors: LoraError('runtime') when the setting names a folder that does not
 * work.
 */
export async function findRuntime(
  runtime: RuntimeOptions,
  machine = thisMachine(),
): Promise<Runtime | null> {
  const { pin, platform } = machine;
  if (!pin) return noTensorflowFor(platform);
  return runtime.path
    ? fromSetting(path.resolve(runtime.path), pin, runtime, machine)
    : findInstalled(runtime, platform);
}

const UNATTENDED: InstallOptions = {
  signal: new AbortController().signal,
  onProgress: () => undefined,
  log: () => undefined,
};

/** The named folder is only linked to, and proved once: as long as its libraries stay the same. */
async function fromSetting(
  named: string,
  pin: PlatformPin,
  runtime: RuntimeOptions,
  machine: Machine,
): Promise<Runtime | null> {
  const source = namedFolder(pin, named);
  try {
    const known = await openInstalled(
      path.join(runtime.home, `${source.id}-${machine.platform}`),
      runtime,
      machine.platform,
    );
    return known ?? (await installFrom(source, pin, runtime, UNATTENDED, machine));
  } catch (error) {
    throw new LoraError(
      'runtime',
      `The folder in the setting lora.runtime.path cannot be used: ${LoraError.from(error, 'runtime').message}`,
      {
        place: { file: named },
        cause: error,
        fix: 'Name a folder that holds libtensorflow_cc or libtensorflow, and libtensorflow_framework, or clear the setting.',
      },
    );
  }
}
