import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { replaceFile, replaceFolder, withRetries } from '../../../src/formats/files';
import { temp } from '../../support/temp';

const failure = (code: string) => Object.assign(new Error(code), { code });

describe('replacing a folder', () => {
  it('leaves the new files alone, nothing of the old', async () => {
    const folder = path.join(temp(), 'a');
    await replaceFolder(folder, (t) => {
      writeFileSync(path.join(t, 'old'), '1');
      return Promise.resolve();
    });
    await replaceFolder(folder, (t) => {
      writeFileSync(path.join(t, 'new'), '2');
      return Promise.resolve();
    });
    expect([readdirSync(folder), readdirSync(path.dirname(folder))]).toEqual([['new'], ['a']]);
  });

  it('keeps the old folder where the new one cannot be made', async () => {
    const folder = path.join(temp(), 'a');
    await replaceFolder(folder, (t) => {
      writeFileSync(path.join(t, 'old'), '1');
      return Promise.resolve();
    });
    await expect(
      replaceFolder(folder, () => Promise.reject(failure('ENOSPC'))),
    ).rejects.toMatchObject({
      area: 'disk',
      message: expect.stringContaining('the disk is full') as string,
    });
    expect([readdirSync(folder), readdirSync(path.dirname(folder))]).toEqual([['old'], ['a']]);
  });
});

describe('replacing a file', () => {
  it('keeps the old one where writing fails', async () => {
    const file = path.join(temp(), 'a');
    await replaceFile(file, async (handle) => {
      await handle.write('one');
    });
    await expect(
      replaceFile(file, async (handle) => {
        await handle.write('tw');
        throw failure('EIO');
      }),
    ).rejects.toMatchObject({ area: 'disk', place: { file } });
    expect(readFileSync(file, 'utf8')).toBe('one');
    expect(readdirSync(path.dirname(file))).toEqual(['a']);
  });

  it('says why it is impossible', async () => {
    await expect(
      replaceFile(path.join(temp(), 'none', 'a'), () => Promise.resolve()),
    ).rejects.toThrow(/does not exist/);
    expect(existsSync('none')).toBe(false);
  });
});

describe('a rename on Windows', () => {
  const failing = (times: number, code: string) => {
    let calls = 0;
    return {
      action: () => (++calls <= times ? Promise.reject(failure(code)) : Promise.resolve(calls)),
      calls: () => calls,
    };
  };

  it('is tried again while another process holds the target open', async () => {
    expect(await withRetries(failing(3, 'EPERM').action, 'win32')).toBe(4);
  });

  it('is given up at once for other reasons, and on other systems', async () => {
    for (const [code, platform] of [
      ['ENOENT', 'win32'],
      ['EPERM', 'linux'],
    ] as const) {
      const { action, calls } = failing(1, code);
      await expect(withRetries(action, platform)).rejects.toThrow(code);
      expect(calls()).toBe(1);
    }
  });
});
