import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { findProgram } from '../common/programs';
import { LoraError } from '../shared/errors';
import { exec, lastLines, type Env } from './exec';
import { findRuntime } from './findRuntime';
import { shippedBinding } from './installed';
import { inTemporaryFolder, requireSpaceForRuntime } from './installFolder';
import { installRuntime } from './installRuntime';
import { keepBinding, keptBinding, putBytes, type BindingPlace } from './keptBinding';
import type { PlatformPin } from './pins';
import { unpack } from './sources';
import type { InstallOptions, Runtime, RuntimeOptions } from './runtime';
import { thisMachine, type TargetMachine } from './targetMachine';
import { downloadWheel, keptWheel } from './wheel';

/** Folders of C++ code. */
export interface BindingSources {
  /** The binding's source, in tfjs-node's package. */
  readonly binding: string;
  /** This repository's kernels. */
  readonly kernels: string;
  /** Node's headers. */
  readonly nodeApi: string;
}

/** The entries of the wheel that are headers of the C API, or included by them. */
const HEADERS =
  /^tensorflow\/include\/(tensorflow\/(c|core\/platform|core\/common_runtime\/next_pluggable_device\/c)|tsl\/platform|xla\/tsl)\/.*\.h$/;
const RPATH =
  process.platform === 'darwin'
    ? ['-undefined', 'dynamic_lookup', '-Wl,-rpath,@loader_path']
    : ['-Wl,-rpath,$ORIGIN'];
/**
 * Without -fno-math-errno and -fno-trapping-math, loops over square roots and comparisons are not
 * vectorised. They change no result.
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
 * For a build from source: compiles the binding against the pinned wheel and installs the runtime.
 * Skips what is already done.
 *
 * @throws LoraError('runtime') without a compiler or pip, 'disk' or 'cancelled'.
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
  readonly machine: TargetMachine;
  readonly pin: PlatformPin;
}

/** Compiles once for all checkouts: the result is kept under home, by the hash of its inputs. */
async function provideBinding(build: Build): Promise<void> {
  const { runtime, options, machine } = build;
  const place = {
    folder: path.join(runtime.home, 'bindings'),
    sources: await hashOf(build),
  };
  const compiler = await compilerOf(machine.env);
  const kept = await keptBinding(place, compiler?.version ?? null, options.log);
  const bytes = kept ?? (await compile(place, requiredCompiler(compiler, machine.env), build));
  await putBytes(bytes, shippedBinding(runtime.dist, machine.platform));
}

async function compile(place: BindingPlace, compiler: Compiler, build: Build): Promise<Buffer> {
  const {
    sources,
    options,
    pin,
    runtime: { home },
    machine: { env },
  } = build;
  return inTemporaryFolder(home, async (temp) => {
    const wheel = (await keptWheel(home, pin, options)) ?? (await downloadAndKeep(temp, build));
    options.onProgress({ message: 'Compiling the binding', fraction: null });
    await unpack(wheel, pin, options.signal, (name) =>
      name in pin.libraries || HEADERS.test(name) ? path.join(temp, name) : null,
    );
    const folders = [sources.binding, sources.kernels];
    const files = (await Promise.all(folders.map(sourceFilesIn))).flat();
    const includes = [
      sources.binding,
      path.join(temp, 'tensorflow', 'include'),
      sources.nodeApi,
    ].map((folder) => `-I${folder}`);
    const libraries = Object.keys(pin.libraries).map((name) => path.join(temp, name));
    const output = path.join(temp, 'binding.node');
    const { exit, stderr } = await exec(
      compiler.name,
      [...FLAGS, ...includes, ...files, ...libraries, '-o', output],
      { env, signal: options.signal },
    );
    if (exit !== 0)
      throw new LoraError(
        'runtime',
        `The binding did not compile (${compiler.name} ended with ${exit}):\n${lastLines(stderr, 15)}`,
      );
    return keepBinding(place, output, compiler.version);
  });
}

const sourceFilesIn = async (folder: string) =>
  (await readdir(folder))
    .filter((name) => name.endsWith('.cc'))
    .map((name) => path.join(folder, name));

interface Compiler {
  readonly name: string;
  /** Its path, and what it says of itself. */
  readonly version: string;
}

const compilerName = (env: Env) =>
  env['CXX'] || (process.platform === 'darwin' ? 'clang++' : 'g++');

/** Null when it is not installed, or does not start. */
async function compilerOf(env: Env): Promise<Compiler | null> {
  const name = compilerName(env);
  const { exit, stdout } = await exec(name, ['--version'], { env });
  if (exit !== 0) return null;
  return { name, version: `${findProgram(name, env) ?? name}: ${stdout.split('\n')[0] ?? ''}` };
}

/** Called before anything is downloaded. */
function requiredCompiler(found: Compiler | null, env: Env): Compiler {
  if (found) return found;
  throw new LoraError('runtime', `The C++ compiler ${compilerName(env)} was not found.`, {
    fix: 'Install one (Debian: apt install g++; macOS: xcode-select --install), or set CXX. Only a build from source needs it.',
  });
}

/** Keeps the wheel for the installation that follows. */
async function downloadAndKeep(
  temp: string,
  { pin, options, runtime: { home }, machine }: Build,
): Promise<string> {
  await requireSpaceForRuntime(home, pin.wheel_size + 2 * pin.unpacked_size);
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
  return hash.digest('hex');
}
