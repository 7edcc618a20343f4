import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { FolderIsOwned, FolderLock, isFolderOwned } from '../../../src/common/folderLock';
import { thisProcess, type ProcessIdentity } from '../../../src/common/processIdentity';
import { temp } from '../../support/temp';

const me = await thisProcess();

/** A folder with the lock of a process that has ended. */
function folderOf(owner: Partial<ProcessIdentity>, age = 0): string {
  const folder = temp();
  const lock = path.join(folder, '.owner.1.lock');
  writeFileSync(lock, JSON.stringify({ ...me, ...owner }));
  const then = new Date(Date.now() - age);
  utimesSync(lock, then, then);
  return folder;
}

const endedPid = () => spawnSync(process.execPath, ['-e', '']).pid;

async function isTaken(folder: string): Promise<boolean> {
  const lock = await FolderLock.take(folder).catch((error: unknown) => {
    expect(error).toBeInstanceOf(FolderIsOwned);
    return null;
  });
  await lock?.release();
  return lock === null;
}

describe('the lock of a folder', () => {
  it('is held by one at a time, and leaves nothing behind', async () => {
    const folder = temp();
    const lock = await FolderLock.take(folder);
    expect(await isFolderOwned(folder)).toBe(true);
    await expect(FolderLock.take(folder)).rejects.toMatchObject({ pid: process.pid });
    await lock.release();
    expect(await isFolderOwned(folder)).toBe(false);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('of a process that was killed does not block, nor of one whose id now belongs to another', async () => {
    const killed = folderOf({ pid: endedPid() });
    expect(await isTaken(killed)).toBe(false);
    expect(readdirSync(killed)).toEqual([]);
    expect(await isTaken(folderOf({ start: '1' }))).toBe(false);
    expect(await isTaken(folderOf({}))).toBe(true);
  });

  it('of a process elsewhere, or one that is not complete, counts while it is renewed', async () => {
    const elsewhere = { machine: 'another machine', pid: endedPid() };
    expect(await isTaken(folderOf(elsewhere, 1_000))).toBe(true);
    expect(await isTaken(folderOf(elsewhere, 60_000))).toBe(false);
    const incomplete = folderOf({ pid: 'x' as unknown as number }, 1_000);
    await expect(FolderLock.take(incomplete)).rejects.toMatchObject({ pid: null });
    expect(await isTaken(folderOf({ pid: 'x' as unknown as number }, 60_000))).toBe(false);
  });

  it('cannot be taken in a folder that does not exist', async () => {
    const missing = FolderLock.take(path.join(temp(), 'none'));
    await expect(missing).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

it('a killed process is told from a later one with its id', async () => {
  const { isRunning, isRunningNow } = await import('../../../src/common/processIdentity');
  expect(await isRunning(me)).toBe(true);
  expect(await isRunning({ ...me, start: 'another time' })).toBe(false);
  expect(await isRunning({ ...me, pid: endedPid() })).toBe(false);
  if (process.platform === 'linux') {
    expect([isRunningNow(me), isRunningNow({ ...me, start: '1' })]).toEqual([true, false]);
    expect(isRunningNow({ ...me, pid: endedPid() })).toBe(false);
  }
});

const ROUNDS = 60;
const PROCESSES = 4;
const CONTENDERS = 6;

it('of many that find the lock of a killed one at once, exactly one takes it, every time', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const folder = folderOf({ start: '1' });
    const taken = await Promise.allSettled(
      Array.from({ length: CONTENDERS }, () => FolderLock.take(folder)),
    );
    const locks = taken.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    expect(locks).toHaveLength(1);
    await locks[0]!.release();
    expect(readdirSync(folder)).toEqual([]);
  }
});

/** Takes each folder at the same moment as the other processes; reports what it got. */
const CONTENDER = `
  import { FolderLock } from './folderLock';
  process.on('message', async ({ folders, start, pause }) => {
    const taken = [];
    for (const [i, folder] of folders.entries()) {
      while (Date.now() < start + i * pause);
      try { await FolderLock.take(folder); taken.push(folder); }
      catch (error) { if (error.pid === undefined) throw error; }
    }
    process.send(taken);
  });
`;

it('of several processes that find the lock of a killed one, exactly one takes it, every time', async () => {
  const top = temp();
  const script = path.join(top, 'contender.cjs');
  const resolveDir = path.resolve(import.meta.dirname, '../../../src/common');
  await build({
    stdin: { contents: CONTENDER, resolveDir, loader: 'ts' },
    bundle: true,
    platform: 'node',
    outfile: script,
  });
  const ended = endedPid();
  const folders = Array.from({ length: ROUNDS }, (_, i) => {
    const folder = path.join(top, `run-${i}`);
    mkdirSync(folder);
    // killed, recycled, and never locked
    const owners = [{ ...me, pid: ended }, { ...me, start: '1' }, null];
    const owner = owners[i % owners.length];
    if (owner) writeFileSync(path.join(folder, '.owner.3.lock'), JSON.stringify(owner));
    return folder;
  });
  const contenders = Array.from({ length: PROCESSES }, () => fork(script));
  await Promise.all(contenders.map((child) => once(child, 'spawn')));
  const start = Date.now() + 500;
  const takenBy = await Promise.all(
    contenders.map(async (child) => {
      child.send({ folders, start, pause: 10 });
      return ((await once(child, 'message')) as [string[]])[0];
    }),
  );
  // until here each owns what it took
  for (const child of contenders) child.disconnect();
  expect(takenBy.flat().sort()).toEqual([...folders].sort());
});
