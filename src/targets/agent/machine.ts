import { readdir } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { findGpu } from '../../runtime/gpu';
import { defaultRuntimeHome } from '../../runtime/findRuntime';
import { readManifest } from '../../runtime/manifest';
import { platformKey } from '../../runtime/pins';
import { availableMemory, freeDiskBytes } from '../../common/system';
import type { Answer } from './protocol';
import type { Places } from './places';

/** What this machine has. */
export async function describeMachine(places: Places): Promise<Answer<'machine'>> {
  const gpu = await findGpu().catch(() => null);
  return {
    machine: {
      name: os.hostname(),
      platform: platformKey(),
      cores: os.availableParallelism(),
      memory: availableMemory(),
      freeDisk: await freeDisk(places.root),
      gpus: gpu === null ? [] : [{ name: gpu.name, memory: gpu.memory_total }],
    },
    runtime: await installedRuntime(),
  };
}

/** Of the nearest folder that exists. */
async function freeDisk(folder: string): Promise<number | null> {
  const bytes = await freeDiskBytes(folder).catch(() => null);
  const parent = path.dirname(folder);
  return bytes ?? (parent === folder ? null : freeDisk(parent));
}

async function installedRuntime(): Promise<string | null> {
  const home = defaultRuntimeHome();
  for (const name of await readdir(home).catch(() => [])) {
    if (name.startsWith('.') || !name.endsWith(`-${platformKey()}`)) continue;
    const manifest = await readManifest(path.join(home, name));
    if (manifest !== null)
      return `libtensorflow ${manifest.tensorflow_version} on ${manifest.device}`;
  }
  return null;
}
