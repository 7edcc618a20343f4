import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { baseOnDisk } from '../../../../src/formats/hub/baseOnDisk';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lora-base-'));
});
afterEach(() => rm(folder, { recursive: true }));

// A path with two slashes exists here; on Windows it would be that of a server.
it('does not look at a server that an adapter names', async () => {
  expect(await baseOnDisk(path.join(folder, 'adapter'), folder)).toBe(folder);
  expect(await baseOnDisk(path.join(folder, 'adapter'), `/${folder}`)).toBeNull();
});

it('does not look at a server that the run of an adapter names', async () => {
  const adapter = path.join(folder, 'run', 'adapter');
  await mkdir(adapter, { recursive: true });
  const write = (base: string) =>
    writeFile(path.join(folder, 'run', 'run.json'), JSON.stringify({ recipe: { base } }));
  await write(folder);
  expect(await baseOnDisk(adapter, null)).toBe(folder);
  await write(`/${folder}`);
  expect(await baseOnDisk(adapter, null)).toBeNull();
});
