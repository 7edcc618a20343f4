import { chmod, mkdir, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { withRetries, writeJson } from '../../common/atomicWrite';
import { hashFile } from '../../common/hashFile';
import { keepPrivate } from '../../common/privateFiles';
import { inTemporaryFolder, requireSpaceForRuntime } from '../installFolder';
import type { WheelPin } from '../pins';
import type { InstallOptions } from '../runtime';
import type { Env } from '../exec';
import { downloadWheel } from '../wheel';
import { unzip } from '../zip';

const VERSION = '0.17.1';
const UNPACKED_SIZE = 420_000_000;

const zig = (wheel_platform: string, wheel_size: number, sha256: string): WheelPin => ({
  package: 'ziglang',
  version: VERSION,
  wheel_platform,
  wheel_size,
  sha256,
});

/** The compiler, for the platforms that it runs on, by `platformKey()`. */
export const ZIG_PINS: Readonly<Record<string, WheelPin>> = {
  'linux-x64': zig(
    'manylinux_2_12_x86_64',
    101_083_562,
    'ea6cc5d87b033cf0aedfbc8f9549a908cae6c50ac31f1698188fa48a74524b54',
  ),
  'linux-arm64': zig(
    'manylinux2014_aarch64',
    98_063_064,
    'b7c5f02fccd40f89b999ee16a1f5ddced56e6182370f8affe494bcf8a28cf07e',
  ),
  'darwin-arm64': zig(
    'macosx_13_0_arm64',
    100_390_379,
    '09953b6af7f64168b915180a42774f520f92d86ef6331b28e33915c7e1f0bb23',
  ),
  'win32-x64': zig(
    'win_amd64',
    101_924_940,
    '69c3dfc3aff6a297ec4017aa904782c0e450eb988982d7f675d83edce27526fb',
  ),
};

/** An unpacked compiler. */
export interface Zig {
  readonly program: string;
  /** For what it compiles once for all: the C++ library of each platform. */
  readonly cache: string;
}

/** What was unpacked: the wheel's hash, and that of the program in it. */
interface ZigRecord {
  readonly wheel: string;
  readonly program: string;
}

/**
 * The pinned compiler, unpacked under home, in a folder that its user alone can enter. Its program
 * is compared with the one that was unpacked each time.
 *
 * @throws LoraError('runtime' | 'disk' | 'cancelled').
 */
export async function provideZig(
  pin: WheelPin,
  home: string,
  env: Env,
  options: InstallOptions,
): Promise<Zig> {
  const folder = path.join(home, `zig-${pin.version}`);
  const program = path.join('ziglang', process.platform === 'win32' ? 'zig.exe' : 'zig');
  const found = { program: path.join(folder, program), cache: path.join(folder, 'cache') };
  if (await isUnpacked(folder, found.program, pin)) return found;
  await inTemporaryFolder(home, async (temp) => {
    await requireSpaceForRuntime(home, pin.wheel_size + UNPACKED_SIZE);
    const download = path.join(temp, 'wheel');
    await mkdir(download);
    const wheel = await downloadWheel(pin, download, env, options);
    options.onProgress({ message: `Unpacking zig ${pin.version}`, fraction: null });
    const unpacked = path.join(temp, 'zig');
    await mkdir(unpacked);
    await keepPrivate(unpacked);
    const target = (name: string) =>
      name.startsWith('ziglang/') && !name.endsWith('/') ? path.join(unpacked, name) : null;
    await unzip(wheel, target, options.signal, { isFlushed: false });
    await chmod(path.join(unpacked, program), 0o755);
    const record: ZigRecord = {
      wheel: pin.sha256,
      program: await hashFile(path.join(unpacked, program), { signal: options.signal }),
    };
    await writeJson(path.join(unpacked, RECORD), record);
    await withRetries(() => rename(folder, path.join(temp, 'replaced'))).catch(() => undefined);
    await withRetries(() => rename(unpacked, folder));
  });
  return found;
}

const RECORD = 'zig.json';

async function isUnpacked(folder: string, program: string, pin: WheelPin): Promise<boolean> {
  try {
    const record = JSON.parse(await readFile(path.join(folder, RECORD), 'utf8')) as ZigRecord;
    return record.wheel === pin.sha256 && record.program === (await hashFile(program));
  } catch {
    return false;
  }
}
