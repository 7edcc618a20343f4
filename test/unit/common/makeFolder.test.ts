import { existsSync, statSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { makeFolder } from '../../../src/common/makeFolder';
import { temp } from '../../support/temp';

it('creates a folder and those above it, and accepts one that exists', async () => {
  const folder = path.join(temp(), 'a/b/c');
  await makeFolder(folder);
  await makeFolder(folder);
  expect(statSync(folder).isDirectory()).toBe(true);
  await makeFolder(path.parse(folder).root);
});

it('reports a read-only file system as such, not as a missing folder', async () => {
  const top = temp();
  const onReadOnlyDisk = (folder: string) =>
    path.dirname(folder) === top
      ? Promise.reject(Object.assign(new Error('read-only'), { code: 'EROFS' }))
      : mkdir(folder);
  const made = makeFolder(path.join(top, 'a/b'), onReadOnlyDisk);
  await expect(made).rejects.toMatchObject({ code: 'EROFS' });
});

it('reports a file in the path, and a name that is too long', async () => {
  const top = temp();
  writeFileSync(path.join(top, 'file'), '');
  await expect(makeFolder(path.join(top, 'file'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  await expect(makeFolder(path.join(top, 'file/a'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  const long = makeFolder(path.join(top, 'x'.repeat(300)));
  await expect(long).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
});

it.skipIf(!existsSync('/proc/self'))('ends where folders cannot be created', async () => {
  await expect(makeFolder('/proc/none/such')).rejects.toMatchObject({ code: 'ENOENT' });
});
