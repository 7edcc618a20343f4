import { describe, expect, it } from 'vitest';
import { isInFolder, isSamePath } from '../../../src/common/samePath';

describe('on Windows', () => {
  it.each([
    ['c:\\Data\\Übung', 'C:\\data\\übung'],
    ['C:/data/a.jsonl', 'c:\\data\\a.jsonl'],
    ['C:\\data\\', 'C:\\data'],
    ['C:\\data\\.\\x\\..\\a', 'C:\\data\\a'],
    ['\\\\Server\\Share\\a', '//server/share/a'],
    ['C:\\', 'c:/'],
  ])('%s is %s', (a, b) => {
    expect(isSamePath(a, b, 'win32')).toBe(true);
  });

  it('other files are others', () => {
    expect(isSamePath('C:\\data\\a', 'D:\\data\\a', 'win32')).toBe(false);
    expect(isSamePath('C:\\data\\a', 'C:\\data\\ab', 'win32')).toBe(false);
  });

  it.each([
    ['c:\\Data\\run\\adapter', 'C:\\data\\run', true],
    ['C:/data/run/adapter', 'C:\\data\\run\\', true],
    ['C:\\a', 'c:\\', true],
    ['C:\\data\\run2\\adapter', 'C:\\data\\run', false],
    ['C:\\data\\run', 'C:\\data\\run', false],
    ['C:\\data\\run\\..\\other', 'C:\\data\\run', false],
    ['D:\\data\\run\\adapter', 'C:\\data\\run', false],
  ])('%s in %s: %s', (file, folder, expected) => {
    expect(isInFolder(file, folder, 'win32')).toBe(expected);
  });
});

describe('on Linux', () => {
  it('case tells paths apart, and a backslash is a letter', () => {
    expect(isSamePath('/Data/a', '/data/a', 'linux')).toBe(false);
    expect(isInFolder('/data/run/adapter', '/data/run', 'linux')).toBe(true);
    expect(isInFolder('/data/run2/adapter', '/data/run', 'linux')).toBe(false);
    expect(isInFolder('/data\\run', '/data', 'linux')).toBe(false);
    expect(isInFolder('/a', '/', 'linux')).toBe(true);
  });
});
