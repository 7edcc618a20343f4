import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { fileErrorReason } from '../../../src/common/fileStatus';
import { hashFile } from '../../../src/common/hashFile';
import {
  FileRefused,
  listFolder,
  openRegularFile,
  readHead,
  readTail,
  readTextFile,
  type Links,
} from '../../../src/common/regularFile';
import { temp } from '../../support/temp';
import { programPath } from '../../../scripts/programs.mjs';

const LIMITS = { maxBytes: 100 };

function fileOf(text: string): string {
  const file = path.join(temp(), 'file.json');
  writeFileSync(file, text);
  return file;
}

function pipeIn(folder: string): string {
  const file = path.join(folder, 'run.json');
  execFileSync(programPath('mkfifo'), [file]);
  return file;
}

function linkTo(target: string): string {
  const link = path.join(temp(), 'run.json');
  symlinkSync(target, link);
  return link;
}

const reasonOf = (file: string, links?: Links) =>
  readTextFile(file, { ...LIMITS, ...(links && { links }) }).then(
    () => 'read',
    (error: unknown) => fileErrorReason(error),
  );

describe('readTextFile', () => {
  it('reads a file of up to the limit', async () => {
    expect(await readTextFile(fileOf('é'.repeat(50)), LIMITS)).toBe('é'.repeat(50));
    expect(await readTextFile(fileOf(''), LIMITS)).toBe('');
  });

  it('refuses a larger file, whatever the size that it takes on the disk', async () => {
    expect(await reasonOf(fileOf('a'.repeat(101)))).toContain('it is larger than the');
    const sparse = fileOf('');
    truncateSync(sparse, 2 ** 40);
    expect(await reasonOf(sparse)).toContain('it is larger than the');
  });

  it('says that a file does not exist', async () => {
    expect(await reasonOf(path.join(temp(), 'none'))).toBe('it does not exist');
  });

  it('refuses a folder', async () => {
    expect(await reasonOf(temp())).toBe('it is a folder');
  });

  it('follows a link to a file only where links are followed', async () => {
    const link = linkTo(fileOf('{}'));
    expect(await readTextFile(link, LIMITS)).toBe('{}');
    expect(await reasonOf(link, 'refused')).toBe(
      'it is a symbolic link, which is not followed here',
    );
  });

  it('fails when the time is over', async () => {
    const reading = readTextFile(fileOf('a'), { ...LIMITS, timeout: 0 });
    await expect(reading).rejects.toThrow('within 0 seconds');
  });
});

describe.skipIf(process.platform === 'win32')('of what never ends', () => {
  it('refuses a named pipe without waiting for a writer', async () => {
    const pipe = pipeIn(temp());
    expect(await reasonOf(pipe)).toBe('it is a named pipe (FIFO), not a file');
    expect(await reasonOf(linkTo(pipe))).toBe('it is a named pipe (FIFO), not a file');
    await expect(hashFile(pipe)).rejects.toThrow(FileRefused);
    await expect(readHead(pipe, 10)).rejects.toThrow(FileRefused);
    await expect(readTail(pipe, LIMITS)).rejects.toThrow(FileRefused);
    await expect(openRegularFile(pipe)).rejects.toThrow(FileRefused);
  });

  it.each(['/dev/zero', '/dev/null', '/dev/tty'])('refuses a link to %s', async (device) => {
    expect(await reasonOf(linkTo(device))).toBe('it is a device, not a file');
  });

  it('refuses a socket', async () => {
    const socket = path.join(temp(), 's');
    const server = createServer().listen(socket);
    onTestFinished(() => void server.close());
    await new Promise((resolve) => server.once('listening', resolve));
    expect(await reasonOf(socket)).toBe('it is a socket, not a file');
  });

  it.runIf(process.platform === 'linux')('bounds files that have no size', async () => {
    expect(await reasonOf('/proc/self/smaps')).toContain('it is larger than the');
  });
});

describe('readTail', () => {
  it('is the end of the file, and says whether something comes before it', async () => {
    const file = fileOf('0123456789');
    expect(await readTail(file, { maxBytes: 4 })).toEqual({ text: '6789', isCut: true });
    expect(await readTail(file, { maxBytes: 10 })).toEqual({ text: '0123456789', isCut: false });
    expect(await readTail(file, { maxBytes: 4 }, 8)).toEqual({ text: '89', isCut: false });
    expect(await readTail(file, { maxBytes: 4 }, 80)).toEqual({ text: '', isCut: false });
  });
});

describe('listFolder', () => {
  it('lists the entries by name, up to the given number', async () => {
    const folder = temp();
    for (const name of ['c', 'a', 'b']) writeFileSync(path.join(folder, name), '');
    mkdirSync(path.join(folder, 'd'));
    expect((await listFolder(folder)).map(({ name }) => name)).toEqual(['a', 'b', 'c', 'd']);
    expect(await listFolder(folder, 2)).toHaveLength(2);
  });
});
