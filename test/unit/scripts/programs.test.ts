import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  findProgram,
  npmCommand,
  packageCommand,
  programEnvironment,
  programPath,
} from '../../../scripts/programs.mjs';
import { temp } from '../../support/temp';

/** A folder with programs that leave a mark when they are started. */
function planted(names: readonly string[]): { folder: string; mark: string } {
  const folder = temp();
  const mark = path.join(folder, 'started');
  for (const name of names) {
    writeFileSync(path.join(folder, name), `#!/bin/sh\necho "$0" >> '${mark}'\n`);
    chmodSync(path.join(folder, name), 0o755);
  }
  return { folder, mark };
}

const NAMES = ['git', 'npm', 'python3', 'python', 'g++', 'node', 'npm-cli.js', 'tar'];
const SCRIPTS = path.resolve('scripts');
const urlOf = (name: string) => JSON.stringify(pathToFileURL(path.join(SCRIPTS, name)).href);

/** What a script prints that runs in a folder to which entries of the PATH lead. */
function runIn(folder: string, source: string, env: NodeJS.ProcessEnv = {}): unknown {
  const args = ['--input-type=module', '--eval', source];
  const { stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, PATH: `.::./:bin:${process.env['PATH'] ?? ''}`, ...env },
  });
  expect(stderr).toBe('');
  return JSON.parse(stdout) as unknown;
}

describe.skipIf(process.platform === 'win32')('programs planted in the current folder', () => {
  it('are not started by the scripts', () => {
    const { folder, mark } = planted(NAMES);
    const output = runIn(
      folder,
      `import { run, installDependencies } from ${urlOf('dependencies.mjs')};
       import { npmCommand, programEnvironment } from ${urlOf('programs.mjs')};
       import { spawnSync } from 'node:child_process';
       const [node, npm] = npmCommand();
       const outputs = [
         run('git', ['--version'], { capture: true }),
         run(node, [npm, '--version'], { capture: true }),
         spawnSync(node, ['-p', '1'], { env: programEnvironment(), encoding: 'utf8' }),
       ];
       console.log(JSON.stringify(outputs.map(({ stdout }) => stdout.trim())));`,
    );
    expect(output).toEqual([
      expect.stringMatching(/^git version/),
      expect.stringMatching(/^\d+\.\d+/),
      '1',
    ]);
    expect(existsSync(mark)).toBe(false);
  });

  it('are not found', () => {
    const { folder } = planted(NAMES);
    const found = runIn(
      folder,
      `import { findProgram, npmCommand } from ${urlOf('programs.mjs')};
       const names = ${JSON.stringify(NAMES)};
       console.log(JSON.stringify([...names.map((name) => findProgram(name)), ...npmCommand()]));`,
      { npm_execpath: './npm-cli.js' },
    ) as (string | null)[];
    for (const file of found)
      if (file !== null)
        expect([path.isAbsolute(file), file.startsWith(folder)]).toEqual([true, false]);
  });

  it('are not found by the programs that the scripts start', () => {
    expect(programEnvironment({ PATH: '.::/usr/bin:bin', A: '1' }, 'linux')).toEqual({
      PATH: '/usr/bin',
      A: '1',
    });
    expect(programEnvironment({ Path: String.raw`.;C:\a;\b;c:d` }, 'win32')).toEqual({
      Path: String.raw`C:\a`,
    });
  });
});

describe('a program', () => {
  it('is found in the first folder of the PATH that has it', () => {
    const [a, b] = [planted(['tool']), planted(['tool', 'other'])];
    mkdirSync(path.join(b.folder, 'folder'));
    const env = { PATH: [a, b].map(({ folder }) => folder).join(path.delimiter) };
    expect(findProgram('tool', { env })).toBe(path.join(a.folder, 'tool'));
    expect(findProgram('other', { env })).toBe(path.join(b.folder, 'other'));
    for (const name of ['folder', 'missing', './tool', '../tool', 'a/tool'])
      expect(findProgram(name, { env })).toBeNull();
    expect(() => programPath('missing', { env })).toThrow('missing was not found on the PATH');
  });

  it.each(['tsc', 'prettier', 'eslint', 'depcruise', 'vitest'])(
    'of a package is run by Node: %s',
    (name) => {
      const [node, script] = packageCommand(name);
      expect(node).toBe(process.execPath);
      expect(existsSync(script)).toBe(true);
      expect(script).toContain(`${path.sep}node_modules${path.sep}`);
    },
  );

  it('npm is the one that runs the script, if that is npm', () => {
    const folder = temp();
    const script = path.join(folder, 'npm-cli.js');
    writeFileSync(script, '');
    const env = { PATH: process.env['PATH'], npm_execpath: script };
    expect(npmCommand({ env })).toEqual([process.execPath, script]);
    const other = path.join(folder, 'pnpm.cjs');
    writeFileSync(other, '');
    expect(npmCommand({ env: { ...env, npm_execpath: other } })[1]).not.toBe(other);
  });
});
