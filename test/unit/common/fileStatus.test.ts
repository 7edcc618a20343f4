import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  fileErrorReason,
  isFile,
  isNamed,
  pathExists,
  writeErrorReason,
} from '../../../src/common/fileStatus';
import { temp } from '../../support/temp';

describe('fileErrorReason', () => {
  it.each([
    ['ENOENT', 'it does not exist'],
    ['EACCES', 'permission denied'],
    ['EISDIR', 'it is a folder'],
    ['ENOSPC', 'the disk is full'],
    ['EROFS', 'the file system is read-only'],
    ['EPERM', 'not permitted'],
    ['ENOTDIR', 'a part of its path is a file, not a folder'],
    ['ENAMETOOLONG', 'its name or path is too long'],
    ['EMFILE', 'too many files are open in this process'],
    ['EDQUOT', 'the disk quota is used up'],
    ['EUNKNOWN', 'the message'],
  ])('of %s: %s', (code, reason) => {
    expect(fileErrorReason(Object.assign(new Error('the message'), { code }))).toBe(reason);
  });

  it('converts anything else to text', () => {
    expect([fileErrorReason(new Error('odd')), fileErrorReason(7), fileErrorReason(null)]).toEqual([
      'odd',
      '7',
      'null',
    ]);
  });
});

describe('writeErrorReason', () => {
  it.each([
    ['ENOENT', 'its folder does not exist'],
    ['EACCES', 'permission denied: the folder or the file is read-only for this user'],
    ['EROFS', 'the file system is read-only'],
    ['ENOSPC', 'the disk is full'],
    ['ENAMETOOLONG', 'its name or path is too long'],
  ])('of %s: %s', (code, reason) => {
    expect(writeErrorReason(Object.assign(new Error('the message'), { code }))).toBe(reason);
  });
});

describe('isFile, pathExists and isNamed', () => {
  it('follow links, and distinguish files from folders', async () => {
    const folder = temp();
    const at = (name: string) => path.join(folder, name);
    mkdirSync(at('folder'));
    writeFileSync(at('file'), '');
    symlinkSync('file', at('link'));
    symlinkSync('nowhere', at('broken'));
    const names = ['folder', 'file', 'link', 'broken', 'none', 'file/below'];
    const found: unknown[] = [];
    for (const file of names.map(at))
      found.push([await isFile(file), await pathExists(file), await isNamed(file)]);
    expect(found).toEqual([
      [false, true, true],
      [true, true, true],
      [true, true, true],
      [false, false, true],
      [false, false, false],
      [false, false, false],
    ]);
  });
});
