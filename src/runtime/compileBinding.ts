import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { exec, lastLines } from './exec';
import { checkRoom, installRuntime } from './installRuntime';
import { defaultRuntimeHome, findRuntime, shippedBinding, type RuntimeOptions } from './findRuntime';
import { PLATFORM_PINS, platformKey, TENSORFLOW_VERSION, type PlatformPin } from './pins';
import type { InstallOptions, Runtime } from './types';
import { checkWheel, downloadWheel } from './wheel';
import { unzip } from './zip';

/** Folders of the binding's C++ source (in tfjs-node's package) and of Node's own headers. */
export interface BindingSources {
  readonly binding: string;
  readonly nodeApi: string;
}

/** For a build from source: compiles the binding against the pinned wheel's headers and installs the runtime, each only if it is not there. */
export async function buildRuntime(runtime: RuntimeOptions, sources: BindingSources, options: InstallOptions): Promise<Runtime | null> {
  const pin = PLATFORM_PINS[platformKey()];
  if (pin) await compileBinding(pin, runtime, sources, options);
  return await findRuntime({ dist: runtime.dist, home: runtime.home }) ?? await installRuntime(runtime, options);
}

async function compileBinding(pin: PlatformPin, { dist, home }: RuntimeOptions, sources: BindingSources, options: InstallOptions): Promise<void> {
  const compiled = path.join(home, 'bindings', `${await hashOf(pin, sources)}.node`);
  if (!await exists(compiled)) {
    const folder = await headersAndLibraries(pin, home, options);
    options.onProgress({ message: 'Compiling the binding', fraction: null });
    await mkdir(path.dirname(compiled), { recursive: true });
    await compile(folder, sources, compiled, pin);
  }
  const target = shippedBinding(dist);
  await mkdir(path.dirname(target), { recursive: true });
  await copyFile(compiled, `${target}.${process.pid}`);
  await rename(`${target}.${process.pid}`, target);
}

async function compile(folder: string, sources: BindingSources, target: string, pin: PlatformPin): Promise<void> {
  const compiler = process.env['CXX'] ?? (process.platform === 'darwin' ? 'clang++' : 'g++');
  const files = (await readdir(sources.binding)).filter((name) => name.endsWith('.cc')).map((name) => path.join(sources.binding, name));
  const temp = `${target}.${process.pid}.tmp`;
  const { code, stderr } = await exec(compiler, [
    '-O2', '-fPIC', '-shared', '-std=c++17', '-DNAPI_VERSION=8', '-w', ...files, `-I${sources.binding}`, `-I${path.join(folder, 'tensorflow', 'include')}`, `-I${sources.nodeApi}`,
    ...Object.keys(pin.libraries).map((name) => path.join(folder, name)), ...rpath(), '-o', temp,
  ]);
  if (code === null) {
    throw new LoraError('runtime', `The C++ compiler ${compiler} was not found.`, { fix: 'Install one (Debian: apt install g++; macOS: xcode-select --install), or set CXX. Users of the .vsix need none.' });
  }
  if (code !== 0) throw new LoraError('runtime', `The binding did not compile:\n${lastLines(stderr, 15)}`);
  await rename(temp, target);
}

const rpath = () => (process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup', '-Wl,-rpath,@loader_path'] : ['-Wl,-rpath,$ORIGIN']);

/** Unpacks the wheel's C headers and libraries once; keeps the wheel for the installation that follows. */
async function headersAndLibraries(pin: PlatformPin, home: string, options: InstallOptions): Promise<string> {
  const folder = path.join(home, 'wheels', `${TENSORFLOW_VERSION}-${platformKey()}`);
  if (await exists(folder)) return folder;
  await mkdir(path.dirname(folder), { recursive: true });
  await checkRoom(home, pin.wheel_size + 2 * pin.unpacked_size);
  const temp = await mkdtemp(path.join(home, `.install-${process.pid}-`));
  try {
    const wheel = await wheelIn(path.dirname(folder), pin, temp, options);
    options.onProgress({ message: 'Unpacking the headers', fraction: null });
    const wanted = (name: string) => name in pin.libraries || /^tensorflow\/include\/(tensorflow\/(c|core\/platform)|tsl\/platform|xla\/tsl)\/.*\.h$/.test(name);
    const parts = path.join(temp, 'parts');
    await unzip(wheel, (name) => (wanted(name) ? path.join(parts, name) : null), options.signal);
    await rename(parts, folder);
    return folder;
  } finally {
    await rm(temp, { recursive: true, force: true });
  }
}

async function wheelIn(folder: string, pin: PlatformPin, temp: string, options: InstallOptions): Promise<string> {
  for (const name of (await readdir(folder)).filter((file) => file.endsWith('.whl'))) {
    const wheel = path.join(folder, name);
    if (await checkWheel(wheel, pin, options.signal).then(() => true, () => false)) return wheel;
  }
  const wheel = await downloadWheel(pin, temp, options);
  const kept = path.join(folder, path.basename(wheel));
  await rename(wheel, kept);
  return kept;
}

async function hashOf(pin: PlatformPin, { binding }: BindingSources): Promise<string> {
  const hash = createHash('sha256').update(pin.sha256).update(rpath().join(' '));
  for (const name of (await readdir(binding)).sort()) hash.update(await readFile(path.join(binding, name)));
  return hash.digest('hex').slice(0, 16);
}

export { defaultRuntimeHome };

const exists = (file: string) => stat(file).then(() => true, () => false);
