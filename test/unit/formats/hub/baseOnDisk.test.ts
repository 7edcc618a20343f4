import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_BYTES } from '../../../../src/common/regularFile';
import { baseOnDisk, quantizeOfRun } from '../../../../src/formats/hub/baseOnDisk';

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

it('how the base was quantized is read from the run of an adapter or checkpoint', async () => {
  const adapter = path.join(folder, 'run', 'adapter');
  await mkdir(adapter, { recursive: true });
  const write = (training: unknown) =>
    writeFile(path.join(folder, 'run', 'run.json'), JSON.stringify({ recipe: { training } }));
  expect(await quantizeOfRun(adapter)).toBeNull();
  await write({ quantize: 'nf4' });
  expect(await quantizeOfRun(adapter)).toBe('nf4');
  await write({ quantize: null });
  expect(await quantizeOfRun(adapter)).toBeNull();
  await write({ quantize: 'int3' });
  expect(await quantizeOfRun(adapter)).toBeNull();
  await write('nf4');
  expect(await quantizeOfRun(adapter)).toBeNull();
});

describe('a run that a stranger made', () => {
  let record: string;
  let adapter: string;
  beforeEach(async () => {
    adapter = path.join(folder, 'run', 'adapter');
    record = path.join(folder, 'run', 'run.json');
    await mkdir(adapter, { recursive: true });
  });
  const text = () => JSON.stringify({ recipe: { base: folder } });

  it.skipIf(process.platform === 'win32')('is not read through a link', async () => {
    await writeFile(record, text());
    expect(await baseOnDisk(adapter, null)).toBe(folder);
    await rename(record, path.join(folder, 'elsewhere.json'));
    await symlink(path.join(folder, 'elsewhere.json'), record);
    expect(await baseOnDisk(adapter, null)).toBeNull();
  });

  it('is not read where its record is larger than any', async () => {
    await writeFile(record, text().padEnd(MAX_BYTES.runRecord));
    expect(await baseOnDisk(adapter, null)).toBe(folder);
    await writeFile(record, text().padEnd(MAX_BYTES.runRecord + 1));
    expect(await baseOnDisk(adapter, null)).toBeNull();
  });
});
