import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { nameBaseHere } from '../../../../src/engine/remote/nameBase';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(path.join(tmpdir(), 'lora-adapter-'))));
afterEach(() => rm(folder, { recursive: true }));

const file = () => path.join(folder, 'adapter_config.json');
const put = (base: unknown) =>
  writeFile(file(), JSON.stringify({ r: 2, base_model_name_or_path: base }));

describe('the base of an adapter from a target', () => {
  it('is named by its path here, and nothing else changes', async () => {
    await put('/home/me/.cache/lora-workbench/target/items/0123/model');
    await nameBaseHere(folder, '/models/tiny');
    expect(JSON.parse(await readFile(file(), 'utf8'))).toEqual({
      r: 2,
      base_model_name_or_path: '/models/tiny',
    });
  });

  it.each([
    ['a name of a hub', 'owner/model'],
    ['no name', null],
  ])('stays when it is %s', async (_, base) => {
    await put(base);
    const before = await readFile(file(), 'utf8');
    await nameBaseHere(folder, '/models/tiny');
    expect(await readFile(file(), 'utf8')).toBe(before);
  });

  it('is left to the readers of adapters where the file is not valid or missing', async () => {
    await nameBaseHere(folder, '/models/tiny');
    await writeFile(file(), '{');
    await nameBaseHere(folder, '/models/tiny');
    expect(await readFile(file(), 'utf8')).toBe('{');
  });
});
