import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../../src/shared/errors';
import type { Env } from '../../src/runtime/exec';
import type { TargetMachine } from '../../src/runtime/targetMachine';
import type { PlatformPin } from '../../src/runtime/pins';

export type { TargetMachine };
export const PLATFORM = 'linux-x64';

/**
 * A machine whose loader accepts every file that begins with `library`; the last word of the first
 * library is its version.
 */
export const machineOf = (pin: PlatformPin, env: Env): TargetMachine => ({
  platform: PLATFORM,
  pin,
  env,
  probe: async (binding) => {
    const folder = path.dirname(binding);
    const contents = await Promise.all(
      Object.values(pin.libraries).map((name) => readFile(path.join(folder, name), 'utf8')),
    );
    const bad = contents.find((content) => !content.startsWith('library'));
    if (bad !== undefined)
      throw new LoraError(
        'runtime',
        `libtensorflow in ${folder} does not work: invalid ELF header`,
      );
    return {
      tensorflow_version: contents[0]!.split(' ').at(-1)!,
      device: 'cpu',
      bf16: 'fast',
    };
  },
});
