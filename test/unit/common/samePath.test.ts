import { describe, expect, it } from 'vitest';
import { isInFolder, isSamePath } from '../../../src/common/samePath';

describe('on Windows', () => {
  it.each([
    ['c:\\Work\\Übung', 'C:\\work\\übung'],
    ['C:/work/a.jsonl', 'c:\\work\\a.jsonl'],
    ['C:\\work\\', 'C:\\work'],
    ['C:\\work\\.\\x\\..\\a', 'C:\\work\\a'],
    ['\\\\Server\\Share\\a', '//server/share/a'],
    ['C:\\', 'c:/'],
  ])('%s is %s', (a, b) => {
    expect(isSamePath(a, b, 'win32')).toBe(true);
  });

  it('other files are others', () => {
    expect(isSamePath('C:\\work\\a', 'D:\\work\\a', 'win32')).toBe(false);
    expect(isSamePath('C:\\work\\a', 'C:\\work\\ab', 'win32')).toBe(false);
  });

  it.each([
    ['c:\\Work\\run\\adapter', 'C:\\work\\run', true],
    ['C:/work/run/adapter', 'C:\\work\\run\\', true],
    ['C:\\a', 'c:\\', true],
    ['C:\\work\\run2\\adapter', 'C:\\work\\run', false],
    ['C:\\work\\run', 'C:\\work\\run', false],
    ['C:\\work\\run\\..\\other', 'C:\\work\\run', false],
    ['D:\\work\\run\\adapter', 'C:\\work\\run', false],
  ])('%s in %s: %s', (file, folder, expected) => {
    expect(isInFolder(file, folder, 'win32')).toBe(expected);
  });
});

describe('on Linux', () => {
  it('case tells paths apart, and a backslash is a letter', () => {
    expect(isSamePath('/Work/a', '/work/a', 'linux')).toBe(false);
    expect(isInFolder('/work/run/adapter', '/work/run', 'linux')).toBe(true);
    expect(isInFolder('/work/run2/adapter', '/work/run', 'linux')).toBe(false);
    expect(isInFolder('/work\\run', '/work', 'linux')).toBe(false);
    expect(isInFolder('/a', '/', 'linux')).toBe(true);
  });
});
