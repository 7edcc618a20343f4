import { spawnSync } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { freeDiskBytes, isProcessAlive } from '../../../src/common/system';

afterEach(() => vi.restoreAllMocks());

const failWith = (code: string) =>
  vi.spyOn(process, 'kill').mockImplementation(() => {
    throw Object.assign(new Error(code), { code });
  });

describe('isProcessAlive', () => {
  it('is true for this process, and false for one that has ended', () => {
    const ended = spawnSync(process.execPath, ['-e', '']).pid;
    expect([isProcessAlive(process.pid), isProcessAlive(ended)]).toEqual([true, false]);
  });

  it('is true for processes of other users, which may not be signalled', () => {
    const kill = failWith('EPERM');
    expect(isProcessAlive(1)).toBe(true);
    expect(kill).toHaveBeenCalledWith(1, 0);
    failWith('ESRCH');
    expect(isProcessAlive(1)).toBe(false);
  });
});

describe('freeDiskBytes', () => {
  it('returns the bytes that this user can write', async () => {
    const { bavail, bsize, blocks } = statfsSync(tmpdir());
    const free = await freeDiskBytes(tmpdir());
    expect(free).toBeLessThan(blocks * bsize);
    expect(Math.abs(free - bavail * bsize)).toBeLessThan(1e9);
  });

  it('rejects for a folder that does not exist', async () => {
    await expect(freeDiskBytes('/none/such')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
