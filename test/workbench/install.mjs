// Installs the workbench for the tests: code-server (VS Code's workbench and extension host) and
// its Node, from the npm registry, into a folder of the user's cache.
// `node test/workbench/install.mjs` prints the folder.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

const CODE_SERVER = 'code-server@4.139.1';
const NODE = `node-${process.platform}-${process.arch}`;
/** Names what is installed; a folder without this file is installed again. */
const STAMP = `ready-${CODE_SERVER}-native-1`;

/** The folder in which the workbench is installed. */
export const workbenchHome = () =>
  process.env.LORA_WORKBENCH_HOME ?? path.join(homedir(), '.cache', 'lora-workbench', 'workbench');

/** The Node that runs code-server. */
export const workbenchNode = (home) => path.join(home, 'node_modules', NODE, 'bin', 'node');

/**
 * Installs the workbench if needed, and returns its folder. Needs npm and a C++ compiler.
 * @throws {Error} when a step fails; its output is on standard error.
 */
export function installWorkbench(log = console.error) {
  const home = workbenchHome();
  if (existsSync(path.join(home, STAMP))) return home;
  if (process.platform === 'win32')
    throw new Error(
      'The workbench runs on Linux and macOS only: code-server has no Windows build.',
    );
  log(`npm install ${CODE_SERVER} (830 MB in ${home}, once)`);
  rmSync(home, { recursive: true, force: true });
  mkdirSync(home, { recursive: true });
  writeFileSync(path.join(home, 'package.json'), '{ "private": true }\n');
  npmInstall(home, `${NODE}@24.22.3`, CODE_SERVER);
  const vscode = path.join(home, 'node_modules', 'code-server', 'lib', 'vscode');
  npmInstall(vscode);
  npmInstall(path.join(vscode, 'extensions'));
  compileNativeModules(home, path.join(vscode, 'node_modules', '@vscode'));
  writeFileSync(path.join(home, STAMP), '');
  return home;
}

/**
 * Runs no install scripts: those of kerberos, sqlite3 and others need system libraries, and the
 * server works without these modules. node-pty and @parcel/watcher are published compiled.
 */
function npmInstall(folder, ...packages) {
  execFileSync(
    'npm',
    [
      'install',
      '--ignore-scripts',
      '--omit=dev',
      '--no-audit',
      '--no-fund',
      '--silent',
      ...packages,
    ],
    {
      cwd: folder,
      stdio: ['ignore', 2, 2],
      // npm sets these to the package it was called in, and would install there
      env: { ...process.env, npm_config_prefix: undefined, npm_config_local_prefix: undefined },
    },
  );
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
    process.env.CXX || (onMac ? 'clang++' : 'g++'),
    [
      ...['-O2', '-shared', '-fPIC', '-std=c++20', '-w', '-DBUILDING_NODE_EXTENSION'],
      ...(onMac ? ['-undefined', 'dynamic_lookup'] : []),
      `-DNODE_GYP_MODULE_NAME=${name}`,
      `-I${path.join(home, 'node_modules', NODE, 'include', 'node')}`,
      ...flags,
      ...sources.map((file) => path.join(folder, 'src', file)),
      ...['-o', output],
    ],
    { stdio: ['ignore', 2, 2] },
  );
}

if (process.argv[1] === import.meta.filename) console.log(installWorkbench());
