import { copyFile, readdir, readFile, rename, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { isIntact, readManifest, runtimeOf, type Manifest } from './manifest';
import { BINDING_FILE, PLATFORM_PINS, platformKey } from './pins';
import { probe } from './probe';
import type { Runtime } from './types';

export interface RuntimeOptions {
  /** The folder of the bundles: holds tfjs-node.js, probe.js and binding/<platform>-<arch>/. */
  readonly dist: string;
  /** Where runtimes are installed. */
  readonly home: string;
  /** The setting lora.runtime.path: a folder with libtensorflow. */
  readonly path?: string | null;
}

/** LORA_RUNTIME_HOME, or a cache folder under the user's home. */
export const defaultRuntimeHome = (): string => process.env['LORA_RUNTIME_HOME'] ?? path.join(homedir(), '.cache', 'lora-workbench', 'runtime');

export const shippedBinding = (dist: string): string => path.join(dist, 'binding', platformKey(), BINDING_FILE);

/** The runtime that a run would use now: the setting's, else the one installed; null when one has to be installed first.
 *  Errors: LoraError('runtime') when the setting names a folder that does not work. */
export async function findRuntime(options: RuntimeOptions): Promise<Runtime | null> {
  if (options.path) return fromSetting(options.path, options);
  if (!PLATFORM_PINS[platformKey()]) return wasmRuntime(`there is no libtensorflow for ${platformKey()}`);
  return findInstalled(options);
}

/** The slow way that needs no installation: about a fifth of the speed. */
export const wasmRuntime = (reason: string): Runtime =>
  ({ kind: 'wasm', source: 'wasm', why: `WebAssembly, which needs no installation but trains at about a fifth of the speed, because ${reason}.` });

async function fromSetting(folder: string, options: RuntimeOptions): Promise<Runtime> {
  const binding = path.join(folder, BINDING_FILE);
  try {
    await stat(binding).catch(() => copyFile(shippedBinding(options.dist), binding));
    const facts = await probe(binding, options.dist);
    return { kind: 'tensorflow', source: 'setting', folder, binding, ...facts, why: `The setting lora.runtime.path names ${folder}.` };
  } catch (error) {
    throw new LoraError('runtime', `The folder in the setting lora.runtime.path cannot be used: ${error instanceof Error ? error.message : String(error)}`, {
      place: { file: folder }, fix: 'Name a folder that holds libtensorflow_cc and libtensorflow_framework, or clear the setting.', cause: error,
    });
  }
}

/** The newest intact runtime under home; its binding is brought up to the shipped one. */
export async function findInstalled(options: RuntimeOptions): Promise<Runtime | null> {
  const folders = (await readdir(options.home).catch(() => [])).filter((name) => !name.startsWith('.')).sort().reverse();
  for (const name of folders) {
    const folder = path.join(options.home, name);
    const manifest = await readManifest(folder);
    if (manifest && await isIntact(folder, manifest)) return runtimeOf(folder, await currentBinding(folder, options.dist), manifest);
  }
  return null;
}

/** Puts the shipped binding beside the libraries (its rpath is its own folder) unless it is there already. */
export async function currentBinding(folder: string, dist: string): Promise<string> {
  const target = path.join(folder, BINDING_FILE);
  const shipped = await readFile(shippedBinding(dist)).catch((error: unknown) => {
    throw new LoraError('runtime', `This build has no binding for ${platformKey()}.`, { fix: 'Run npm run build, or install the .vsix of your platform.', cause: error });
  });
  const present = await readFile(target).catch(() => null);
  if (present && shipped.equals(present)) return target;
  const temp = `${target}.${process.pid}`;
  await copyFile(shippedBinding(dist), temp);
  await rename(temp, target);
  return target;
}

export type { Manifest };
