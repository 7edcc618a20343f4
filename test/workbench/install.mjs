// Installs the workbench for the tests: code-server (VS Code's workbench and extension host) and
// its Node, from the npm registry, into a folder of the user's cache.
// `node test/workbench/install.mjs` prints the folder.
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import path from 'node:path';
import { programEnvironment, programPath } from '../../scripts/programs.mjs';
import { installPackages, npmCi, packagesFolder } from './packages.mjs';
import { changedFile, recordFiles } from '../support/verified.mjs';

const NODE = `node-${process.platform}-${process.arch}`;
const SERVER = path.join('node_modules', 'code-server', 'lib', 'vscode');
const MODULES = path.join(SERVER, 'node_modules', '@vscode');
/** What was compiled, and the program that runs everything: checked before each use. */
const EXECUTED = [
  path.join(MODULES, 'spdlog', 'build', 'Release', 'spdlog.node'),
  path.join(MODULES, 'native-watchdog', 'build', 'Release', 'watchdog.node'),
  path.join('node_modules', NODE, 'bin', 'node'),
];

/** The folder in which the workbench is installed. */
export const workbenchHome = () => process.env.LORA_WORKBENCH_HOME ?? packagesFolder('workbench');

/** The Node that runs code-server. */
export const workbenchNode = (home) => path.join(home, 'node_modules', NODE, 'bin', 'node');

/**
 * Installs the workbench if needed, and returns its folder. Needs npm and a C++ compiler.
 * @throws {Error} when a step fails; its output is on standard error.
 */
export function installWorkbench(log = console.error) {
  const home = workbenchHome();
  const changed = changedFile(home, EXECUTED);
  if (changed === null) return home;
  if (process.platform === 'win32')
    throw new Error(
      'The workbench runs on Linux and macOS only: code-server has no Windows build.',
    );
  if (existsSync(home))
    log(`${changed} is not what was installed: the workbench is installed again.`);
  log(`npm ci: code-server (830 MB in ${home}, once)`);
  mkdirSync(path.dirname(home), { recursive: true });
  const temp = mkdtempSync(`${home}.install-`);
  try {
    install(temp);
    rmSync(home, { recursive: true, force: true });
    renameSync(temp, home);
    return home;
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
}

/**
 * No install scripts are run: those of kerberos, sqlite3 and others need system libraries, and the
 * server works without these modules. node-pty and @parcel/watcher are published compiled.
 */
function install(home) {
  installPackages('workbench', home);
  const server = path.join(home, SERVER);
  npmCi(server); // by the lock file in code-server's package
  cpSync(
    path.join(home, 'node_modules', 'typescript'),
    path.join(server, 'extensions', 'node_modules', 'typescript'),
    { recursive: true },
  );
  compileNativeModules(home, path.join(home, MODULES));
  recordFiles(home, EXECUTED);
}

/** The two modules that the server needs: to write logs, and to end orphaned processes. */
function compileNativeModules(home, modules) {
  const spdlog = path.join(modules, 'spdlog');
  compile(home, spdlog, 'spdlog', [
    '-DNAPI_CPP_EXCEPTIONS',
    '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
    '-DFMT_CONSTEVAL=',
    `-I${path.join(spdlog, 'node_modules', 'node-addon-api')}`,
    `-I${path.join(spdlog, 'deps', 'spdlog', 'include')}`,
  ]);
  compile(home, path.join(modules, 'native-watchdog'), 'watchdog', []);
}

/** Compiles a module like node-gyp, but without make or a download of Node's headers. */
function compile(home, folder, name, flags) {
  const onMac = process.platform === 'darwin';
  const sources = readdirSync(path.join(folder, 'src')).filter((file) => file.endsWith('.cc'));
  const output = path.join(folder, 'build', 'Release', `${name}.node`);
  mkdirSync(path.dirname(output), { recursive: true });
  execFileSync(
    programPath(process.env.CXX || (onMac ? 'clang++' : 'g++')),
    [
      ...['-O2', '-shared', '-fPIC', '-std=c++20', '-w', '-DBUILDING_NODE_EXTENSION'],
      ...(onMac ? ['-undefined', 'dynamic_lookup'] : []),
      `-DNODE_GYP_MODULE_NAME=${name}`,
      `-I${path.join(home, 'node_modules', NODE, 'include', 'node')}`,
      ...flags,
      ...sources.map((file) => path.join(folder, 'src', file)),
      ...['-o', output],
    ],
    { stdio: ['ignore', 2, 2], env: programEnvironment() },
  );
}

if (process.argv[1] === import.meta.filename) console.log(installWorkbench());
