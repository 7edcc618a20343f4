import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { replaceFile, replaceFolder } from '../../../src/common/atomicWrite';
import { FolderLock } from '../../../src/common/folderLock';
import { makeFolder } from '../../../src/common/makeFolder';
import { openForAppending, refuseLinks, removeWithin } from '../../../src/common/withoutLinks';
import { keepRunsOutOfGit } from '../../../src/formats/run/gitIgnore';
import { temp } from '../../support/temp';
import { programPath } from '../../../scripts/programs.mjs';

/** A project whose .lora, or a folder in it, is a link to a folder with the file mine. */
function linkedProject(name: string): { readonly at: string; readonly elsewhere: string } {
  const [project, elsewhere] = [temp(), temp()];
  writeFileSync(path.join(elsewhere, 'mine'), 'mine');
  mkdirSync(path.join(project, path.dirname(name)), { recursive: true });
  symlinkSync(elsewhere, path.join(project, name));
  return { at: path.join(project, name), elsewhere };
}

const LINKED = ['.lora', '.lora/runs', '.lora/runs/run', '.lora/sweeps'];

describe('refuseLinks', () => {
  it('allows links above the folder, and what does not exist', async () => {
    const [real, links] = [temp(), temp()];
    mkdirSync(path.join(real, '.lora'));
    symlinkSync(real, path.join(links, 'project'));
    await refuseLinks(path.join(links, 'project/.lora/runs/run/run.json'));
    await refuseLinks(path.join(links, 'project/x'), path.join(links, 'project'));
  });

  it('refuses a path outside of the folder', async () => {
    const folder = temp();
    await expect(refuseLinks(path.join(folder, '../x'), folder)).rejects.toThrow('is not in');
    await refuseLinks(path.join(folder, '..x'), folder);
  });

  it('refuses links that lead nowhere, and to folders inside', async () => {
    const folder = temp();
    symlinkSync(path.join(folder, 'none'), path.join(folder, 'dangling'));
    symlinkSync(folder, path.join(folder, 'inside'));
    for (const name of ['dangling', 'inside', 'inside/x'])
      await expect(refuseLinks(path.join(folder, name), folder)).rejects.toThrow('is a link');
  });
});

describe.each(LINKED)('where %s is a link', (name) => {
  it('nothing is written, made, locked or removed', async () => {
    const { at, elsewhere } = linkedProject(name);
    const attempts = [
      () => replaceFile(path.join(at, 'run.json'), '{}'),
      () => replaceFolder(path.join(at, 'step-1'), () => Promise.resolve()),
      () => makeFolder(path.join(at, 'new/folder')),
      () => FolderLock.take(at),
      () => removeWithin(path.join(at, 'mine')),
      () => openForAppending(path.join(at, 'mine')),
    ];
    for (const attempt of attempts)
      await expect(attempt()).rejects.toThrow(`${at} is a link, and links are not followed here`);
    await keepRunsOutOfGit(at);
    expect(readdirSync(elsewhere)).toEqual(['mine']);
  });
});

describe('openForAppending', () => {
  it('creates a file and writes at its end', async () => {
    const file = path.join(temp(), 'log');
    for (const text of ['a', 'b']) {
      const handle = await openForAppending(file);
      await handle.appendFile(text);
      await handle.close();
    }
    expect(readFileSync(file, 'utf8')).toBe('ab');
  });

  it.skipIf(process.platform === 'win32')('gives a new file the mode', async () => {
    const file = path.join(temp(), 'log');
    await (await openForAppending(file, path.dirname(file), 0o600)).close();
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('refuses a link, also to nothing', async () => {
    const [folder, target] = [temp(), path.join(temp(), 'target')];
    symlinkSync(target, path.join(folder, 'log'));
    await expect(openForAppending(path.join(folder, 'log'))).rejects.toThrow('is a link');
    expect(existsSync(target)).toBe(false);
  });

  it.skipIf(process.platform === 'win32')('refuses a named pipe without waiting', async () => {
    const file = path.join(temp(), 'log');
    execFileSync(programPath('mkfifo'), [file]);
    await expect(openForAppending(file)).rejects.toThrow('it is a named pipe (FIFO), not a file');
  });
});

describe('removeWithin', () => {
  it('removes a link, not what it leads to', async () => {
    const [folder, elsewhere] = [temp(), temp()];
    writeFileSync(path.join(elsewhere, 'mine'), '');
    mkdirSync(path.join(folder, 'step-1'));
    symlinkSync(elsewhere, path.join(folder, 'step-1/link'));
    symlinkSync(elsewhere, path.join(folder, 'step-2'));
    for (const name of ['step-1', 'step-2', 'step-3'])
      await removeWithin(path.join(folder, name), folder);
    expect(readdirSync(folder)).toEqual([]);
    expect(readdirSync(elsewhere)).toEqual(['mine']);
  });
});
