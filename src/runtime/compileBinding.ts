import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../shared/errors';
import { exec, lastLines, type Env } from './exec';
import { defaultRuntimeHome, findRuntime } from './findRuntime';
import { copyWhole, shippedBinding } from './installed';
import { checkRoom, inTemporaryFolder } from './installFolder';
import { installRuntime } from './installRuntime';
import { thisMachine, type Machine } from './machine';
import type { PlatformPin } from './pins';
import { unpack } from './sources';
import type { InstallOptions, Runtime, RuntimeOptions } from './runtime';
import { downloadWheel, keptWheel } from './wheel';

export { defaultRuntimeHome };

/**
 * Folders of the binding's C++ source (in tfjs-node's package), of our own kernels and of Node's
 * own headers.
 */
export interface BindingSources {
  readonly binding: string;
  readonly kernels: string;
  readonly nodeApi: string;
}

/** The headers of the C API and what they include. */
const HEADERS =
  /^tensorflow\/include\/(tensorflow\/(c|core\/platform|core\/common_runtime\/next_pluggable_device\/c)|tsl\/platform|xla\/tsl)\/.*\.h$/;
const RPATH =
  process.platform === 'darwin'
    ? ['-undefined', 'dynamic_lookup', '-Wl,-rpath,@loader_path']
    : ['-Wl,-rpath,$ORIGIN'];
/**
 * Without the two floating-point switches, loops over square roots and comparisons are not
 * vectorised; no result depends on them.
 */
const FLAGS = [
  '-O3',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-pthread',
  '-fPIC',
  '-shared',
  '-std=c++17',
  '-DNAPI_VERSION=8',
  '-w',
  ...RPATH,
];

/**
 * For a build from source: compiles the binding against the pinned wheel and installs the runtime,
 * each only where it is not there yet. Errors: LoraError 'runtime' (no compiler, no pip, ...),
 * 'disk', 'cancelled'.
 */
export async function buildRuntime(
  runtime: RuntimeOptions,
  sources: BindingSources,
  options: InstallOptions,
  machine = thisMachine(),
): Promise<Runtime> {
  if (machine.pin) await provideBinding({ runtime, sources, options, machine, pin: machine.pin });
  return (await findRuntime(runtime, machine)) ?? installRuntime(runtime, options, machine);
}

interface Build {
  readonly runtime: RuntimeOptions;
  readonly sources: BindingSources;
  readonly options: InstallOptions;
  readonly machine: Machine;
  readonly pin: PlatformPin;
}

/** Compiled once for all checkouts of the same source: under home, by the hash of what goes in. */
async function provideBinding(build: Build): Promise<void> {
  const compiled = path.join(build.runtime.home, 'bindings', `${await hashOf(build)}.node`);
  if (!(await stat(compiled).catch(() => null))) await compile(compiled, build);
  const target = shippedBinding(build.runtime.dist, build.machine.platform);
  await mkdir(path.dirname(target), { recursive: true });
  await copyWhole(compiled, target);
}

async function compile(target: string, build: Build): Promise<void> {
  const {
    sources,
    options,
    pin,
    runtime: { home },
    machine: { env },
  } = build;
  const compiler = env['CXX'] || (process.platform === 'darwin' ? 'clang++' : 'g++');
  await requireCompiler(compiler, env);
  await inTemporaryFolder(home, async (temp) => {
    const wheel = (await keptWheel(home, pin, options)) ?? (await downloadAndKeep(temp, build));
    options.onProgress({ message: 'Compiling the binding', fraction: null });
    await unpack(wheel, pin, options.signal, (name) =>
      name in pin.libraries || HEADERS.test(name) ? path.join(temp, name) : null,
    );
    const files = (await Promise.all([sources.binding, sources.kernels].map(unitsIn))).flat();
    const includes = [
      sources.binding,
      path.join(temp, 'tensorflow', 'include'),
      sources.nodeApi,
    ].map((folder) => `-I${folder}`);
    const libraries = Object.keys(pin.libraries).map((name) => path.join(temp, name));
    const output = path.join(temp, 'binding.node');
    const { exit, stderr } = await exec(
      compiler,
      [...FLAGS, ...includes, ...files, ...libraries, '-o', output],
      { env, signal: options.signal },
    );
    if (exit !== 0)
      throw new LoraError(
        'runtime',
        `The binding did not compile (${compiler} ended with ${exit}):\n${lastLines(stderr, 15)}`,
      );
    await mkdir(path.dirname(target), { recursive: true });
    await rename(output, target);
  });
}

const unitsIn = async (folder: string) =>
  (await readdir(folder))
    .filter((name) => name.endsWith('.cc'))
    .map((name) => path.join(folder, name));

/** Before anything is downloaded. */
async function requireCompiler(compiler: string, env: Env): Promise<void> {
  if ((await exec(compiler, ['--version'], { env })).exit === 0) return;
  throw new LoraError('runtime', `The C++ compiler ${compiler} was not found.`, {
    fix: 'Install one (Debian: apt install g++; macOS: xcode-select --install), or set CXX. Only a build from source needs it.',
  });
}

/** The installation that follows unpacks the same wheel. */
async function downloadAndKeep(
  temp: string,
  { pin, options, runtime: { home }, machine }: Build,
): Promise<string> {
  await checkRoom(home, pin.wheel_size + 2 * pin.unpacked_size);
  const wheel = await downloadWheel(pin, temp, machine.env, options);
  const kept = path.join(home, 'wheels', path.basename(wheel));
  await mkdir(path.dirname(kept), { recursive: true });
  await rename(wheel, kept);
  return kept;
}

async function hashOf({ pin, sources }: Build): Promise<string> {
  const hash = createHash('sha256').update([pin.sha256, ...FLAGS].join(' '));
  for (const folder of [sources.binding, sources.kernels, sources.nodeApi]) {
    for (const name of (await readdir(folder)).filter((file) => /\.(cc|h)$/.test(file)).sort())
      hash.update(await readFile(path.join(folder, name)));
  }
  return hash.digest('hex').slice(0, 16);
}
