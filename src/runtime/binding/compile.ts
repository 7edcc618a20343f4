import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { LoraError } from '../../shared/errors';
import { exec, lastLines, type Env } from '../exec';
import { BINDING_FILE, PYTHON_STUB } from '../pins';
import type { InstallOptions } from '../runtime';
import {
  calledFunctions,
  macLibrary,
  NODE_API_FUNCTION,
  TENSORFLOW_FUNCTION,
  windowsDefinition,
  windowsNodeApi,
  windowsStub,
} from './stubs';
import type { Zig } from './zig';

/** Folders of C++ code. */
export interface BindingSources {
  /** The binding's source, in tfjs-node's package. */
  readonly binding: string;
  /** This repository's kernels. */
  readonly kernels: string;
  /** Node's headers. */
  readonly nodeApi: string;
  /** The folder of this file, which has the rest of the sources. */
  readonly own: string;
}

/** glibc 2.17 is that of the wheels (manylinux2014), macOS 12 too. */
export const TRIPLES: Readonly<Record<string, string>> = {
  'linux-x64': 'x86_64-linux-gnu.2.17',
  'linux-arm64': 'aarch64-linux-gnu.2.17',
  'darwin-arm64': 'aarch64-macos.12.0',
  'win32-x64': 'x86_64-windows-gnu',
};

/** The platforms that a binding can be compiled for. */
export const COMPILED_PLATFORMS: readonly string[] = Object.keys(TRIPLES);

/**
 * Without -fno-math-errno and -fno-trapping-math, loops over square roots and comparisons are not
 * vectorised. They change no result.
 */
export const CODE_FLAGS: readonly string[] = [
  '-O3',
  '-fno-math-errno',
  '-fno-trapping-math',
  '-fvisibility=hidden',
  '-fvisibility-inlines-hidden',
  '-std=c++17',
  '-w',
];

/** One call of the compiler. */
type Command = readonly string[];

/** A compilation in a temporary folder. */
export interface Compilation {
  readonly platform: string;
  readonly zig: Zig;
  readonly sources: BindingSources;
  /** Holds the folder of TensorFlow's headers, as in the wheel. */
  readonly headers: string;
  /** Empty; gets the binding's files. */
  readonly output: string;
  readonly env: Env;
  readonly options: InstallOptions;
}

/**
 * Compiles the binding of a platform.
 *
 * @throws LoraError('runtime') with the compiler's last lines, or 'cancelled'.
 */
export async function compileBinding(compilation: Compilation): Promise<void> {
  const { zig, platform, env, options, output } = compilation;
  const stubs = `${output}-stubs`;
  await mkdir(output, { recursive: true });
  await mkdir(stubs, { recursive: true });
  const linked = await prepare(compilation, stubs);
  const { sources, headers } = compilation;
  const files = (await Promise.all([sources.binding, sources.kernels].map(sourceFilesIn))).flat();
  const includes = [sources.binding, headers, sources.nodeApi].map((folder) => `-I${folder}`);
  const commands: readonly Command[] = [
    ...linked.commands,
    [
      'c++',
      ...['-target', TRIPLES[platform]!, ...CODE_FLAGS, '-DNAPI_VERSION=8', '-shared', '-s'],
      ...includes,
      ...files,
      ...[path.join(sources.own, 'keepLoaded.cc'), ...linked.options],
      ...['-o', path.join(output, BINDING_FILE)],
    ],
  ];
  for (const command of commands) {
    const { exit, stderr } = await exec(zig.program, command, {
      env: { ...env, ZIG_GLOBAL_CACHE_DIR: zig.cache, ZIG_LOCAL_CACHE_DIR: stubs },
      cwd: stubs,
      signal: options.signal,
    });
    if (exit !== 0)
      throw new LoraError(
        'runtime',
        `The binding for ${platform} did not compile (zig ${command[0]} ended with ${exit}):\n${lastLines(stderr, 15)}`,
      );
  }
}

/** How the binding of a platform is linked, and what has to be made before. */
interface Linked {
  readonly commands: readonly Command[];
  readonly options: readonly string[];
}

/** Writes what stands for the libraries that the binding uses. */
async function prepare(compilation: Compilation, stubs: string): Promise<Linked> {
  const { platform } = compilation;
  const at = (name: string) => path.join(stubs, name);
  if (platform.startsWith('darwin')) return prepareMac(compilation, at);
  if (platform.startsWith('win32')) return prepareWindows(compilation, at);
  return prepareLinux(TRIPLES[platform]!, at);
}

/** The loader looks up names in all libraries, so those that stand for others can be empty. */
async function prepareLinux(triple: string, at: (name: string) => string): Promise<Linked> {
  await writeFile(at('empty.c'), '');
  const names = ['libtensorflow_cc.so.2', 'libtensorflow_framework.so.2'];
  return {
    commands: names.map((name) => [
      'cc',
      ...['-target', triple, '-shared', '-fPIC', at('empty.c')],
      ...[`-Wl,-soname,${name}`, '-o', at(name)],
    ]),
    options: [
      '-fPIC',
      ...['-Wl,--no-as-needed', ...names.map(at)],
      '-Wl,-rpath,$ORIGIN',
      // otherwise the process crashes when the worker that loaded it ends
      '-Wl,-z,nodelete',
    ],
  };
}

async function prepareMac(compilation: Compilation, at: (name: string) => string): Promise<Linked> {
  const { cc, framework } = await tensorflowFunctions(compilation);
  const libraries = { 'libtensorflow_cc.2': cc, 'libtensorflow_framework.2': framework };
  for (const [name, functions] of Object.entries(libraries))
    await writeFile(at(`${name}.tbd`), macLibrary(`${name}.dylib`, functions));
  return {
    commands: [],
    options: [
      '-fPIC',
      ...Object.keys(libraries).map((name) => at(`${name}.tbd`)),
      // Node's functions are those of the program that loads the binding
      '-Wl,-undefined,dynamic_lookup',
      '-Wl,-rpath,@loader_path',
    ],
  };
}

async function prepareWindows(
  compilation: Compilation,
  at: (name: string) => string,
): Promise<Linked> {
  const { sources, output } = compilation;
  const { cc, framework } = await tensorflowFunctions(compilation);
  const library = '_pywrap_tensorflow_internal.pyd';
  await writeFile(at('tensorflow.def'), windowsDefinition(library, [...cc, ...framework]));
  const code = await textOf([sources.binding], /\.(cc|h)$/);
  const nodeApi = calledFunctions(code, await textOf([sources.nodeApi], /\.h$/), NODE_API_FUNCTION);
  await writeFile(at('nodeApi.cc'), windowsNodeApi(nodeApi));
  const python = (await readFile(path.join(sources.own, 'python311.txt'), 'utf8')).split(/\s+/);
  await writeFile(at('python.c'), windowsStub(python.filter(Boolean)));
  const triple = TRIPLES['win32-x64']!;
  return {
    commands: [
      [
        ...['dlltool', '-m', 'i386:x86-64', '-D', library],
        ...['-d', at('tensorflow.def'), '-l', at('tensorflow.lib')],
      ],
      [
        'cc',
        '-target',
        triple,
        '-O2',
        '-w',
        '-shared',
        '-s',
        at('python.c'),
        path.join(sources.own, 'environment.c'),
        '-o',
        path.join(output, PYTHON_STUB),
      ],
    ],
    options: [at('nodeApi.cc'), at('tensorflow.lib')],
  };
}

/** TensorFlow's functions that the binding calls, by the library of macOS that has them. */
async function tensorflowFunctions({ sources, headers }: Compilation) {
  const code = await textOf([sources.binding, sources.kernels], /\.(cc|h)$/);
  const capi = path.join(headers, 'tensorflow', 'c');
  const library = await textOf([path.join(capi, 'eager')], /\.h$/);
  const session = await readFile(path.join(capi, 'c_api.h'), 'utf8');
  const rest = await textOf([capi], /^(?!c_api).*\.h$/);
  const called = (header: string) => calledFunctions(code, header, TENSORFLOW_FUNCTION);
  return { cc: called(library + session), framework: called(rest) };
}

const sourceFilesIn = async (folder: string) =>
  (await readdir(folder))
    .filter((name) => name.endsWith('.cc'))
    .map((name) => path.join(folder, name));

async function textOf(folders: readonly string[], names: RegExp): Promise<string> {
  const texts: string[] = [];
  for (const folder of folders) {
    for (const name of (await readdir(folder)).filter((file) => names.test(file)).sort())
      texts.push(await readFile(path.join(folder, name), 'utf8'));
  }
  return texts.join('\n');
}
