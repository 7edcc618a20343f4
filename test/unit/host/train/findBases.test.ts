import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BaseCandidate } from '../../../../src/host/train/baseFolder';
import { findBases, type BasePlaces } from '../../../../src/host/train/findBases';

let home: string;
beforeEach(async () => void (home = await mkdtemp(path.join(tmpdir(), 'bases-'))));
afterEach(() => rm(home, { recursive: true }));

async function put(file: string, content = 'GGUF and more'): Promise<string> {
  const full = path.join(home, file);
  await mkdir(path.dirname(full), { recursive: true });
  await writeFile(full, content);
  return full;
}

async function find(places: Partial<BasePlaces> = {}): Promise<BaseCandidate[]> {
  const found: BaseCandidate[] = [];
  for await (const base of findBases({
    home,
    env: {},
    workspaceFolders: [],
    modelFolders: [],
    ...places,
  }))
    found.push(base);
  return found;
}

describe('findBases', () => {
  it('finds model folders and GGUF files in the workspace, but no adapters, later parts or other files with that extension', async () => {
    await put('ws/models/tiny/config.json', '{}');
    await put('ws/models/tiny/model.safetensors', '12345');
    await put('ws/small.gguf');
    await put('ws/adapter/adapter_model.safetensors');
    await put('ws/adapter/config.json', '{}');
    await put('ws/big-00002-of-00003.gguf');
    await put('ws/mmproj-model.gguf');
    await put('ws/fake.gguf', 'nope');
    await put('ws/node_modules/x/hidden.gguf');
    const found = await find({ workspaceFolders: [path.join(home, 'ws')] });
    expect(found.map(({ name, format, bytes, source }) => [name, format, bytes, source])).toEqual([
      ['small.gguf', 'gguf', 13, 'workspace'],
      [path.join('models', 'tiny'), 'safetensors', 5, 'workspace'],
    ]);
  });

  it('finds a GGUF model in parts once, with the size of all, unless a part is missing', async () => {
    for (const part of [1, 2]) await put(`ws/whole-0000${part}-of-00002.gguf`);
    await put('ws/torn-00001-of-00003.gguf');
    await put('ws/torn-00003-of-00003.gguf');
    const found = await find({ workspaceFolders: [path.join(home, 'ws')] });
    expect(found.map(({ name, bytes }) => [name, bytes])).toEqual([
      ['whole-00001-of-00002.gguf', 26],
    ]);
  });

  it('finds the main snapshot of each model in the Hub cache, through its links to blobs', async () => {
    const hub = '.cache/huggingface/hub/models--org--tiny-model';
    await put(`${hub}/refs/main`, 'bbb\n');
    for (const commit of ['aaa', 'bbb', 'ccc'])
      await put(`${hub}/snapshots/${commit}/config.json`, '{}');
    await symlink(
      await put(`${hub}/blobs/xyz`, '123'),
      path.join(home, hub, 'snapshots/bbb/model.safetensors'),
    );
    const found = await find();
    expect(found).toEqual([
      {
        path: path.join(home, hub, 'snapshots/bbb'),
        name: 'org/tiny-model',
        source: 'hub',
        format: 'safetensors',
        bytes: 3,
      },
    ]);
  });

  it('looks in the folders of HF_HOME and HF_HUB_CACHE', async () => {
    await put('hf/hub/models--a/snapshots/1/config.json', '{}');
    await put('hf/hub/models--a/snapshots/1/model.safetensors');
    await put('cache/models--b/snapshots/1/b.gguf');
    expect((await find({ env: { HF_HOME: path.join(home, 'hf') } })).map((c) => c.name)).toEqual([
      'a',
    ]);
    expect(
      (await find({ env: { HF_HUB_CACHE: path.join(home, 'cache') } })).map((c) => c.name),
    ).toEqual(['b/b.gguf']);
  });

  it('finds the blob behind an Ollama manifest and names it as Ollama does', async () => {
    const digest = 'a'.repeat(64);
    const manifest = (hash: string) =>
      JSON.stringify({
        layers: [
          { mediaType: 'application/vnd.ollama.image.license', digest: `sha256:${'b'.repeat(64)}` },
          { mediaType: 'application/vnd.ollama.image.model', digest: `sha256:${hash}` },
        ],
      });
    await put('.ollama/models/manifests/host/library/llama3.2/1b', manifest(digest));
    await put(
      '.ollama/models/manifests/host/someone/mine/latest',
      manifest('../../../../etc/passwd'),
    );
    await put('.ollama/models/manifests/host/library/broken/latest', '{');
    const blob = await put(`.ollama/models/blobs/sha256-${digest}`);
    expect(await find()).toEqual([
      { path: blob, name: 'llama3.2:1b', source: 'ollama', format: 'gguf', bytes: 13 },
    ]);
  });

  it('finds what LM Studio downloaded, and lists a file once that is found twice', async () => {
    await put('.lmstudio/models/pub/repo/m.gguf');
    await mkdir(path.join(home, 'ws'));
    await symlink(
      path.join(home, '.lmstudio/models/pub/repo/m.gguf'),
      path.join(home, 'ws/linked.gguf'),
    );
    expect((await find()).map((c) => c.name)).toEqual([path.join('pub', 'repo', 'm.gguf')]);
    expect(
      (await find({ workspaceFolders: [path.join(home, 'ws')] })).map((c) => [c.name, c.source]),
    ).toEqual([['linked.gguf', 'workspace']]);
  });
});
