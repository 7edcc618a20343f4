import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { outputOf, startProcess } from '../../../src/common/startProcess';
import { exec } from '../../../src/runtime/exec';
import { temp } from '../../support/temp';

const PRINT = 'console.log(JSON.stringify({ cwd: process.cwd(), env: process.env }))';

/** Calls `work` in a folder with a program of this name, as in a hostile workspace. */
async function inFolderWith<T>(name: string, work: () => Promise<T>): Promise<T> {
  const before = process.cwd();
  const folder = temp();
  writeFileSync(path.join(folder, name), '#!/bin/sh\necho hostile\n', { mode: 0o755 });
  process.chdir(folder);
  try {
    return await work();
  } finally {
    process.chdir(before);
  }
}

describe('a process', () => {
  it.each(['node', './node', 'bin/node'])('is not started by the name %s', (name) => {
    expect(() => startProcess(name, [], { env: {} })).toThrow('not the full path of a program');
  });

  it('works in the folder of its program, without variables that load from the working folder', async () => {
    const env = { LD_LIBRARY_PATH: ':/usr/lib', NODE_OPTIONS: '--require ./evil.js', A: 'b' };
    const { stdout, exitCode } = await outputOf(process.execPath, ['-e', PRINT], { env });
    expect(exitCode).toBe(0);
    const seen = JSON.parse(stdout) as { cwd: string; env: Record<string, string> };
    expect(seen.cwd).toBe(path.dirname(process.execPath));
    expect(seen.env).toMatchObject({ LD_LIBRARY_PATH: '/usr/lib', A: 'b' });
    expect(seen.env).not.toHaveProperty('NODE_OPTIONS');
  });

  it('gets its arguments unchanged: no shell reads them', async () => {
    const args = ['$(touch x)', '; exit 3', '`id`', '&& true', '*'];
    const program = 'console.log(JSON.stringify(process.argv.slice(1)))';
    const { stdout } = await outputOf(process.execPath, ['-e', program, '--', ...args], {
      env: {},
    });
    expect(JSON.parse(stdout)).toEqual(args);
  });

  it.each(['.', '', 'sub/..'])(
    'is not the program in the working folder with the PATH %j',
    (PATH) =>
      inFolderWith('nvidia-smi', async () => {
        expect(await exec('nvidia-smi', [], { env: { PATH } })).toMatchObject({ exit: 'missing' });
      }),
  );
});
