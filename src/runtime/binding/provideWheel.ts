import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { withRetries } from '../../common/atomicWrite';
import { requireSpaceForRuntime } from '../installFolder';
import { fetchWheel } from '../mirror';
import type { WheelPin } from '../pins';
import type { InstallOptions, RuntimeOptions } from '../runtime';
import type { Env } from '../exec';
import { downloadWheel, keptWheel } from '../wheel';

/** Where a wheel is looked for. */
export interface WheelRequest {
  /** `home`: keeps wheels in its folder `wheels`. `url`: a mirror, which comes before pip. */
  readonly runtime: Pick<RuntimeOptions, 'home' | 'url'>;
  readonly env: Env;
  readonly options: InstallOptions;
}

/**
 * A pinned wheel that is kept under home: it is downloaded once. Gives its path.
 *
 * @throws LoraError('runtime' | 'disk' | 'cancelled'); WrongFileError.
 */
export async function provideWheel(pin: WheelPin, request: WheelRequest): Promise<string> {
  const { runtime, options } = request;
  const { home } = runtime;
  const kept = await keptWheel(home, pin, options);
  if (kept !== null) return kept;
  const folder = path.join(home, 'wheels');
  await mkdir(folder, { recursive: true });
  await requireSpaceForRuntime(home, pin.wheel_size);
  const temp = await mkdtemp(path.join(home, '.download-'));
  try {
    const wheel = await getWheel(pin, temp, request);
    if (!wheel.isOwn) return wheel.file;
    const place = path.join(folder, path.basename(wheel.file));
    await withRetries(() => rename(wheel.file, place));
    return place;
  } finally {
    await rm(temp, { recursive: true, force: true });
  }
}

async function getWheel(pin: WheelPin, temp: string, { runtime, env, options }: WheelRequest) {
  const { home, url } = runtime;
  if (url) return fetchWheel(pin, { mirror: url, home, options });
  return { file: await downloadWheel(pin, temp, env, options), isOwn: true };
}
