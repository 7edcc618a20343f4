import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Metadata } from '../../../../src/formats/gguf/metadata';
import { baseOnDisk } from '../../../../src/formats/hub/baseOnDisk';
import { namedBasePath } from '../../../../src/formats/hub/hubCache';
import { hubNameOfGguf, hubNameOfPath, pathOnHub } from '../../../../src/formats/hub/hubName';
import { publishedNamed } from '../../../../src/formats/hub/publishedBase';

const tempFolder = () => mkdtempSync(path.join(tmpdir(), 'lora-hub-'));

describe('the name on the Hub', () => {
  it.each([
    ['/c/hub/models--owner--name/snapshots/abc', 'owner/name'],
    ['/c/hub/models--owner--name--x/snapshots/abc/', 'owner/name--x'],
    ['/c/hub/models--owner--name/snapshots/abc/file.gguf', 'owner/name'],
    ['/c/hub/models--gpt2/snapshots/abc', 'gpt2'],
    ['/c/hub/models--owner--name', null],
    ['/models/owner/name', null],
  ])('of %s is %s', (place, name) => {
    expect(hubNameOfPath(place)).toBe(name);
  });

  it.each([
    ['/c/hub/models--owner--name/snapshots/abc/file.gguf', 'file.gguf'],
    ['/c/hub/models--owner--name/snapshots/abc/Q4/file.gguf', 'Q4/file.gguf'],
    ['/models/Q4/file.gguf', 'file.gguf'],
  ])('has the file %s as %s', (place, file) => {
    expect(pathOnHub(place)).toBe(file);
  });

  const url = 'https://huggingface.co/owner/name';
  it.each<[Readonly<Record<string, string | number>>, string | null]>([
    [{ 'general.base_model.0.repo_url': url }, 'owner/name'],
    [{ 'general.base_model.0.repo_url': `${url}/tree/main` }, 'owner/name'],
    [{ 'general.base_model.count': 2, 'general.base_model.0.repo_url': url }, null],
    [
      { 'general.base_model.0.organization': 'owner', 'general.base_model.0.name': 'My name' },
      'owner/My-name',
    ],
    [{ 'general.repo_url': url }, 'owner/name'],
    [{ 'general.repo_url': 'https://huggingface.co/owner' }, null],
    [{ 'general.repo_url': 'https://github.com/owner/name' }, null],
    [{ 'general.source.repo_url': url, 'general.repo_url': `${url}-GGUF` }, 'owner/name'],
    [{ 'general.finetune': 'Instruct', 'general.base_model.0.repo_url': url }, null],
    [
      { 'general.finetune': 'Instruct', 'general.base_model.0.repo_url': `${url}-Instruct` },
      'owner/name-Instruct',
    ],
    [{ 'general.base_model.0.repo_url': 7 }, null],
    [{}, null],
  ])('in the metadata %o is %s', (values, name) => {
    expect(hubNameOfGguf(new Metadata(new Map(Object.entries(values)), 'a.gguf'))).toBe(name);
  });

  it('of a base that an adapter names hides a local path', () => {
    expect(publishedNamed('/home/me/model')).toMatchObject({ title: 'model', hub: null });
    expect(publishedNamed('C:\\me\\model.gguf')).toMatchObject({ gguf_file: 'model.gguf' });
    expect(publishedNamed('owner/name')).toMatchObject({ title: 'owner/name', hub: 'owner/name' });
    expect(publishedNamed(null)).toBeNull();
  });
});

describe('the base of an adapter', () => {
  it('is found in the Hub cache, by the commit of its main branch', async () => {
    const home = tempFolder();
    const model = path.join(home, '.cache/huggingface/hub/models--owner--name');
    for (const commit of ['aaa', 'bbb']) {
      mkdirSync(path.join(model, 'snapshots', commit), { recursive: true });
      writeFileSync(path.join(model, 'snapshots', commit, 'config.json'), '{}');
    }
    mkdirSync(path.join(model, 'refs'));
    writeFileSync(path.join(model, 'refs/main'), 'aaa\n');
    const environment = { home, env: {} };
    const found = path.join(model, 'snapshots/aaa');
    expect(await namedBasePath('owner/name', environment)).toBe(found);
    expect(await namedBasePath('owner/other', environment)).toBeNull();
    expect(await namedBasePath('../owner/name', environment)).toBeNull();
  });

  it('is that of the run that made it', async () => {
    const run = tempFolder();
    const adapter = path.join(run, 'checkpoints/step-4');
    mkdirSync(adapter, { recursive: true });
    writeFileSync(path.join(run, 'run.json'), JSON.stringify({ recipe: { base: run } }));
    expect(await baseOnDisk(path.join(run, 'adapter'), 'owner/name')).toBe(run);
    expect(await baseOnDisk(adapter, null)).toBe(run);
    writeFileSync(path.join(run, 'run.json'), '[');
    expect(await baseOnDisk(adapter, run)).toBe(run);
    expect(await baseOnDisk(adapter, path.join(run, 'none'))).toBeNull();
  });
});
