import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { findProgram, safeEnvironment } from '../../../src/common/programs';
import { temp } from '../../support/temp';

/** A folder with an executable file of this name. */
function folderWith(name: string, mode = 0o755): string {
  const folder = temp();
  writeFileSync(path.join(folder, name), '#!/bin/sh\n', { mode });
  chmodSync(path.join(folder, name), mode);
  return folder;
}

describe('a program', () => {
  it('is found in the first folder of the PATH that has it', () => {
    const [a, b] = [folderWith('tool'), folderWith('tool')];
    expect(findProgram('tool', { PATH: `${temp()}:${b}:${a}` })).toBe(path.join(b, 'tool'));
    expect(findProgram('missing', { PATH: a })).toBeNull();
  });

  it.each(['', '.', './bin', 'bin', '..'])(
    'is never found by the entry %j of the PATH',
    (entry) => {
      const found: string[] = [];
      const isProgram = (file: string) => {
        found.push(file);
        return true;
      };
      expect(
        findProgram('tool', { PATH: `${entry}:${entry}` }, { platform: 'linux', isProgram }),
      ).toBe(null);
      expect(found).toEqual([]);
    },
  );

  it('is no folder and no file that cannot be executed', () => {
    const folder = temp();
    mkdirSync(path.join(folder, 'tool'));
    const plain = folderWith('tool', 0o644);
    expect(findProgram('tool', { PATH: `${folder}:${plain}` })).toBeNull();
  });

  it.each(['./tool', 'bin/tool', '../tool', 'C:tool', String.raw`..\tool`])(
    'is not named by a path without a root: %s',
    (name) => {
      for (const platform of ['linux', 'win32'] as const)
        expect(
          findProgram(
            name,
            { PATH: '/bin', Path: 'C:\\Windows' },
            { platform, isProgram: () => true },
          ),
        ).toBeNull();
    },
  );

  it('is an .exe file in a folder with a drive on Windows, never a script', () => {
    const asked: string[] = [];
    const isProgram = (file: string) => {
      asked.push(file);
      return file.startsWith('D:');
    };
    const Path = String.raw`;.;\tools;C:tools;C:\Windows;D:\Python`;
    expect(findProgram('python', { Path }, { platform: 'win32', isProgram })).toBe(
      String.raw`D:\Python\python.exe`,
    );
    expect(asked).toEqual([String.raw`C:\Windows\python.exe`, String.raw`D:\Python\python.exe`]);
    expect(
      findProgram('D:\\npm.cmd', {}, { platform: 'win32', isProgram: (f) => f.endsWith('.cmd') }),
    ).toBeNull();
  });
});

describe('the environment of a program', () => {
  const workspace = '/home/me/hostile';

  it.each(['PATH', 'LD_LIBRARY_PATH', 'DYLD_INSERT_LIBRARIES', 'NODE_PATH', 'PYTHONPATH'])(
    'keeps only the entries of %s that are full paths outside the workspace',
    (name) => {
      const value = `:.:lib:${workspace}/bin:/usr/lib:${workspace}:/home/me/hostile2:/usr/../home/me/hostile/x`;
      expect(safeEnvironment({ HOME: '/home/me', [name]: value }, [workspace], 'linux')).toEqual({
        HOME: '/home/me',
        [name]: '/usr/lib:/home/me/hostile2',
      });
    },
  );

  it('leaves out a variable of which nothing remains', () => {
    const env = { LD_LIBRARY_PATH: '.', LD_PRELOAD: 'evil.so ./b.so', PYTHONHOME: 'py', PATH: '' };
    expect(safeEnvironment(env, [], 'linux')).toEqual({});
  });

  it.each([
    '--require ./evil.js',
    '-r evil',
    '--import=./evil.mjs',
    '--max-old-space-size=100 --loader "./e vil.mjs"',
    `--require ${workspace}/evil.js`,
    `--import file://${workspace}/evil.mjs`,
    '--env-file=.env',
    '--require',
    `--experimental_loader=${workspace}/evil.mjs`,
    `--env_file=${workspace}/.env`,
    `--snapshot-blob=${workspace}/evil.blob`,
    `--test-reporter=${workspace}/evil.mjs`,
    '--import=/home/me/hos%74ile/evil.mjs',
    '--import=data:text/javascript,evil()',
    '--experimental-default-config-file',
  ])('has no NODE_OPTIONS of %s', (NODE_OPTIONS) => {
    expect(safeEnvironment({ NODE_OPTIONS }, [workspace], 'linux')).toEqual({});
  });

  it.each([
    '--max-old-space-size=4096 --use-openssl-ca',
    '--require /opt/debugger/bootloader.js',
    '--import file:///opt/loader.mjs',
  ])('keeps NODE_OPTIONS of %s', (NODE_OPTIONS) => {
    expect(safeEnvironment({ NODE_OPTIONS }, [workspace], 'linux')).toEqual({ NODE_OPTIONS });
  });

  it.each([
    ...['PYTHONUSERBASE', 'PYTHONPYCACHEPREFIX', 'PIP_REQUIREMENT', 'PIP_CONSTRAINT'],
    ...['OPENSSL_MODULES', 'OPENSSL_ENGINES', 'GCONV_PATH', 'TF_PLUGGABLE_DEVICE_LIBRARY_PATH'],
  ])('has no %s in the workspace, and keeps that of the user', (name) => {
    expect(safeEnvironment({ [name]: `${workspace}/x` }, [workspace], 'linux')).toEqual({});
    expect(safeEnvironment({ [name]: 'x' }, [workspace], 'linux')).toEqual({});
    const env = { [name]: '/usr/share/x' };
    expect(safeEnvironment(env, [workspace], 'linux')).toEqual(env);
  });

  it('takes no workspace with an escape in its name for another folder', () => {
    const NODE_OPTIONS = '--require=/home/me/a%62/evil.js';
    expect(safeEnvironment({ NODE_OPTIONS }, ['/home/me/a%62'], 'linux')).toEqual({});
  });

  it("trusts the user's home, also when it is the workspace", () => {
    const env = { HOME: '/home/me', PATH: '/home/me/.local/bin:/usr/bin' };
    expect(safeEnvironment(env, ['/home/me'], 'linux')).toEqual(env);
    expect(safeEnvironment(env, ['/'], 'linux')).toEqual(env);
  });

  it('knows the names of variables in any case on Windows', () => {
    const Path = String.raw`C:\Windows;.;D:\data\bin`;
    expect(safeEnvironment({ Path }, [String.raw`D:\data`], 'win32')).toEqual({
      Path: String.raw`C:\Windows`,
    });
  });
});

it.each([
  ['file:///C:/tools/loader.mjs', true],
  ['file:///D:/data/evil.mjs', false],
  ['file:///d:/Data/evil.mjs', false],
  ['./evil.mjs', false],
])('on Windows, NODE_OPTIONS that load %s are kept: %s', (url, isKept) => {
  const NODE_OPTIONS = `--import ${url}`;
  const safe = safeEnvironment({ NODE_OPTIONS }, [String.raw`D:\data`], 'win32');
  expect(safe).toEqual(isKept ? { NODE_OPTIONS } : {});
});
