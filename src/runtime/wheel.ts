import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import type { Env } from './exec';
import { formatSize } from '../common/formatSize';
import { hashFile } from '../common/hashFile';
import { WHEEL_PYTHON, type WheelPin } from './pins';
import { pipDownload } from './python';
import type { InstallOptions } from './runtime';

/**
 * Downloads the pinned wheel into an empty folder and checks it. Gives its path.
 *
 * @throws LoraError('runtime') when pip fails or brings another file; 'disk'; 'cancelled'.
 */
export async function downloadWheel(
  pin: WheelPin,
  folder: string,
  env: Env,
  { onProgress, signal, log }: InstallOptions,
): Promise<string> {
  const message = `Downloading ${pin.package} ${pin.version} (${formatSize(pin.wheel_size)})`;
  const report = async () =>
    onProgress({ message, fraction: Math.min(1, (await sizeOf(folder)) / pin.wheel_size) });
  const watch = setInterval(() => {
    void report();
  }, 500);
  try {
    const flags = [
      '--only-binary=:all:',
      '--platform',
      pin.wheel_platform,
      '--python-version',
      WHEEL_PYTHON,
      '--implementation',
      'cp',
    ];
    await pipDownload(`${pin.package}==${pin.version}`, flags, { cwd: folder, env, signal, log });
  } finally {
    clearInterval(watch);
  }
  const name = (await readdir(folder)).find((file) => file.endsWith('.whl'));
  if (name === undefined)
    throw new LoraError('runtime', `pip brought no wheel of ${pin.package} ${pin.version}.`);
  const wheel = path.join(folder, name);
  await checkWheel(wheel, pin, signal);
  return wheel;
}

/** What was downloaded or installed is not the pinned file. It is never used or replaced. */
export class WrongFileError extends LoraError {
  constructor(message: string, fix = WRONG_DOWNLOAD) {
    super('runtime', message, { fix });
  }
}

const WRONG_DOWNLOAD =
  'Nothing was installed. Try again; if it fails again, ask whoever runs your package mirror.';

/** @throws WrongFileError when the file is not the pinned one, byte for byte. */
export async function checkWheel(wheel: string, pin: WheelPin, signal: AbortSignal): Promise<void> {
  const sha256 = await hashFile(wheel, { signal });
  if (sha256 === pin.sha256) return;
  const { size } = await stat(wheel);
  const difference = `${size} bytes with sha256 ${sha256}, expected ${pin.wheel_size} bytes with ${pin.sha256}`;
  throw new WrongFileError(
    `${path.basename(wheel)} is damaged or not the expected file: ${difference}.`,
  );
}

/** The pinned wheel, if an earlier build has kept it in `home`/wheels. */
export async function keptWheel(
  home: string,
  pin: WheelPin,
  { signal, log }: InstallOptions,
): Promise<string | null> {
  const folder = path.join(home, 'wheels');
  for (const name of (await readdir(folder).catch(() => [])).filter((file) =>
    file.endsWith('.whl'),
  )) {
    const wheel = path.join(folder, name);
    if ((await stat(wheel)).size !== pin.wheel_size) continue; // of another package or platform
    if ((await hashFile(wheel, { signal })) === pin.sha256) return wheel;
    log(`${wheel} is not the pinned wheel and is ignored.`);
  }
  return null;
}

async function sizeOf(folder: string): Promise<number> {
  const files = await readdir(folder, { recursive: true }).catch(() => []);
  const sizes = await Promise.all(
    files.map((file) =>
      stat(path.join(folder, file)).then(
        (s) => (s.isFile() ? s.size : 0),
        () => 0,
      ),
    ),
  );
  return sizes.reduce((a, b) => a + b, 0);
}
